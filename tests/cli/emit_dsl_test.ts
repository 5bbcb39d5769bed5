/** `build-engine --emit-dsl`: a network as a script, which is built with the weights of the file it came from. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readOnnx } from "../../src/onnx/read.ts";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";

const { run, refuses } = processOf("build-engine");
const exported = (name: string) => fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));

for (const exporter of ["torchscript", "dynamo"]) {
  Deno.test(`build-engine --emit-dsl writes what ${exporter} wrote as a script, which takes the file's weights`, () =>
    withFolder(async (folder) => {
      const file = exported(exporter);
      const { code, stderr } = await run([file, "--emit-dsl", "network.ts"], folder);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /network\.ts traces to the same graph/);
      const text = await Deno.readTextFile(join(folder, "network.ts"));
      assert.match(text, /for \(let i = 0; i < 2; i\+\+\) \{/);
      assert.match(text, /p\.at\("blocks", i\)/);
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["network.ts"]);
      // Folded and written by both, the networks are one: operators, and every element of every weight.
      const built = async (args: readonly string[]) => {
        const { code, stderr } = await run([...args, "--no-engine", "--no-time", "--out", "built"], folder);
        assert.equal(code, 0, stderr);
        const { nodes, initializers } = readOnnx(join(folder, "built", "ln.onnx")).graph;
        const weights = nodes.flatMap(({ inputs }) =>
          inputs.map((input) => initializers.get(input)?.bytes())
        );
        return { nodes: nodes.map(({ op }) => op), weights };
      };
      const before = await built([file]);
      assert.ok(before.nodes.length > 20 && before.weights.some((bytes) => bytes !== undefined));
      assert.deepEqual(await built(["network.ts", "--weights", file]), before);
    }));
}

Deno.test("build-engine --emit-dsl refuses a name that is taken, one of no script, and a network that no words make", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "there.ts"), "mine");
    const cases: readonly (readonly [readonly string[], 1 | 2, RegExp])[] = [
      [
        [exported("dynamo"), "--emit-dsl", "there.ts"],
        2,
        /^error: --emit-dsl there\.ts: this is there already/,
      ],
      [[exported("dynamo"), "--emit-dsl", "model.py"], 2, /--emit-dsl model\.py/],
      [["t2t-vit-14", "--emit-dsl", "t2t.ts"], 1, /no word of the DSL makes .*7056/],
    ];
    for (const [args, code, message] of cases) await refuses(folder, args, { code, message });
    assert.equal(await Deno.readTextFile(join(folder, "there.ts")), "mine");
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["there.ts"]);
  }));
