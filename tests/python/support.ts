/** The Python that tests of Python files run: UNFOLD_TEST_PYTHON, else python3. */

/** The exit code of a check whose modules are not there, or of a Python that is not. */
export const MISSING = 77;

export function runPython(
  args: readonly string[],
): { readonly code: number; readonly stdout: string; readonly stderr: string } {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  try {
    const { code, stdout, stderr } = new Deno.Command(Deno.env.get("UNFOLD_TEST_PYTHON") ?? "python3", {
      args: [...args],
    }).outputSync();
    return { code, stdout: text(stdout), stderr: text(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { code: MISSING, stdout: "", stderr: error.message };
    throw error;
  }
}
