/** The Python that `--python` names, started. */
import { UnfoldError } from "../errors.ts";

/** @throws {UnfoldError} it cannot be started, and why */
export function startPython(python: string, options: Deno.CommandOptions): Deno.ChildProcess {
  try {
    return new Deno.Command(python, options).spawn();
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such program" : (error as Error).message;
    throw new UnfoldError(`--python ${python}: ${why}`, { cause: error });
  }
}
