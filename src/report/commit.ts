/** The commit that figures are of. What may not be asked is left open. */

export interface Commit {
  readonly commit: string | null;
  readonly dirty: boolean;
}

/** The commit of the working folder; none where there is no Git, no repository or no permission to run it. */
export async function commitHere(): Promise<Commit> {
  const none = { commit: null, dirty: false };
  const { state } = await Deno.permissions.query({ name: "run", command: "git" });
  if (state !== "granted") return none;
  const git = async (...args: string[]): Promise<string | null> => {
    const run = async (environment: Deno.CommandOptions) =>
      await new Deno.Command("git", { args, stderr: "null", ...environment }).output();
    try {
      // Deno hands LD_LIBRARY_PATH, which CUDA's images set, to no process that was permitted by name.
      const { success, stdout } = await run({}).catch(() => run({ clearEnv: true, env: environmentOfGit() }));
      return success ? new TextDecoder().decode(stdout).trim() : null;
    } catch {
      return null;
    }
  };
  const commit = await git("rev-parse", "HEAD");
  if (commit === null) return none;
  return { commit, dirty: await git("status", "--porcelain", "--untracked-files=no") !== "" };
}

/** Where Git is found, and where its settings are. */
function environmentOfGit(): Record<string, string> {
  return Object.fromEntries(["PATH", "HOME", "XDG_CONFIG_HOME"].flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value]];
  }));
}
