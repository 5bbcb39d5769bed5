/**
 * A command as a user meets it: a process with the permissions of its task in `deno.json` and no more, its
 * exit code and what it prints. Outputs are pipes, so there is neither colour nor progress.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The processes of one task. */
export function processOf(task: keyof typeof config.tasks) {
  const { command: line } = config.tasks[task];
  const [flags, script] = line.split(" src/cli/") as [string, string];

  /** Deno's arguments. */
  const denoArgs = (args: readonly string[]) => [
    "run",
    "--config",
    join(ROOT, "deno.json"),
    ...flags.split(" ").slice(2),
    join(ROOT, "src/cli", script.split(" ")[0]!),
    ...args,
  ];

  /** What to spawn, in the folder `cwd`. */
  const command = (args: readonly string[], options: Deno.CommandOptions & { readonly cwd: string }) =>
    new Deno.Command(Deno.execPath(), { args: denoArgs(args), ...options });

  /** `env`: beside this process's own. */
  const run = async (
    args: readonly string[],
    cwd: string,
    env: Record<string, string> = {},
  ): Promise<Run> => {
    const { code, stdout, stderr } = await command(args, { cwd, env }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  };

  /** Runs and expects an error of at most two lines, its exit code, and nothing left behind. */
  const refuses = async (
    cwd: string,
    args: readonly string[],
    expected: { readonly code: 1 | 2; readonly message: RegExp },
  ): Promise<void> => {
    const names = () => [...Deno.readDirSync(cwd)].map(({ name }) => name).sort();
    const before = names();
    const { code, stdout, stderr } = await run(args, cwd);
    const message = stderr.slice(stderr.indexOf("error: ")).trimEnd();
    assert.match(message, expected.message);
    assert.equal(code, expected.code);
    assert.equal(stdout, "");
    assert.ok(message.split("\n").length <= 2 && !/\n\s+at /.test(stderr), `more than was asked: ${stderr}`);
    assert.deepEqual(names(), before);
  };

  return { denoArgs, command, run, refuses };
}
