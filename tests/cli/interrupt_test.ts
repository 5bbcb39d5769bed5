/** Ctrl-C in a command whose work never looks at the signal that it is given. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { withFolder } from "../support.ts";

const source = (path: string) => new URL(`../../src/${path}`, import.meta.url).href;

const DEAF = `
import { runCommand } from "${source("cli/terminal.ts")}";
import { Workshop } from "${source("compile/workshop.ts")}";
await runCommand(async () => {
  await using _work = await Workshop.open("new/out");
  console.log("begun");
  for (;;) await new Promise((resolve) => setTimeout(resolve, 1));
});
`;

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({
    name: `runCommand() ends a command that does not listen to ${signal}, and what it leaves goes`,
    ignore: Deno.build.os === "windows",
    fn: () =>
      withFolder(async (folder) => {
        await Deno.writeTextFile(join(folder, "deaf.ts"), DEAF);
        const child = new Deno.Command(Deno.execPath(), {
          args: ["run", "-A", "-q", "--no-check", "deaf.ts"],
          cwd: folder,
          stdout: "piped",
          stderr: "piped",
        }).spawn();
        const reader = child.stdout.getReader();
        await reader.read();
        assert.ok([...Deno.readDirSync(folder)].some(({ name }) => name === "new"));
        child.kill(signal);
        const [{ code }, said] = await Promise.all([child.status, new Response(child.stderr).text()]);
        await reader.cancel();
        assert.equal(code, 130);
        assert.equal(said, "cancelled; nothing was written\n");
        assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["deaf.ts"]);
      }),
  });
}
