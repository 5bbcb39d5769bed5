/** The README's script does what the README says, run as it says, in a folder of its own. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { testWithLibrary } from "./tensorrt_library.ts";

const readme = await Deno.readTextFile(new URL("../README.md", import.meta.url));

/** The code between the fences that `opening` begins. */
function fenced(opening: string): string {
  const start = readme.indexOf(opening);
  assert.ok(start >= 0, `the README has no ${opening}`);
  const body = readme.slice(readme.indexOf("\n", start) + 1);
  return body.slice(0, body.indexOf("```"));
}

testWithLibrary("the README's script describes, builds and prints the kernels of an encoder", async () => {
  const script = fenced("```ts\n// encoder.ts");
  assert.ok(script.trimEnd().split("\n").length <= 25);
  const [, flags] = /run ((?:--\S+ )+)encoder\.ts/.exec(readme) ?? [];
  assert.ok(flags !== undefined);
  const folder = await Deno.makeTempDir({ prefix: "unfold-" });
  try {
    const mod = import.meta.resolve("../mod.ts");
    await Deno.writeTextFile(join(folder, "encoder.ts"), script.replaceAll("./mod.ts", mod));
    const config = new URL("../deno.json", import.meta.url).pathname;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--config", config, ...flags.trim().split(" "), "encoder.ts"],
      cwd: folder,
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.match(new TextDecoder().decode(stdout), /^\d+ kernels\n {2}\w+ \S+\n/);
    assert.ok((await Deno.stat(join(folder, "encoder.plan"))).size > 100_000);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
