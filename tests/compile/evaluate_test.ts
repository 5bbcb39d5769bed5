/** Examples and how they are fed, with inputs that have the batch and inputs that do not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { discrepancy, runExamples } from "../../src/compile/evaluate.ts";
import { loadExamples } from "../../src/compile/examples.ts";
import { float, ids, model } from "../../src/dsl/mod.ts";
import { onnxBytes } from "../../src/emit/onnx.ts";
import { UnfoldError } from "../../src/errors.ts";
import { float64Of, heldData } from "../../src/ir/data.ts";
import { noNorm } from "../../src/norms/families.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { randomWeights, writeSafetensors } from "../../src/weights/mod.ts";
import { add } from "../nodes.ts";

/** Five examples of [2, 3] and one mask [2, 3] for all of them. */
async function withModel(run: (model: ReturnType<typeof describe>) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "unfold-" });
  try {
    const file = join(folder, "examples.safetensors");
    const wave = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
    writeSafetensors(file, [
      ["x", heldData([5, 2, 3], wave(30), "x")],
      ["mask", heldData([2, 3], wave(6), "mask")],
      ["labels", heldData([5], BigInt64Array.from([0n, 1n, 2n, 0n, 1n]), "labels")],
      ["wide", heldData([5, 2, 4], wave(40), "wide")],
    ]);
    await run(describe(file));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const describe = (file: string) =>
  model({
    name: "masked",
    inputs: { x: float(["B", "T", 3]), mask: float(["T", 3]) },
    norm: noNorm(),
    dims: { T: { min: 1, opt: 2, max: 4 } },
    evaluation: { file, inputs: { x: "x", mask: "mask" }, labels: "labels" },
    forward: ({ x, mask }) => ({ sum: add(x, mask), twice: add(x, x) }),
  });

Deno.test("loadExamples() invents masks whose first token is seen: a query that sees nothing means nothing", () => {
  const masked = model({
    name: "masked",
    inputs: { mask: ids(["B", "T"]) },
    norm: noNorm(),
    dims: { T: { min: 1, opt: 5, max: 5 } },
    forward: ({ mask }) => mask.cast("float"),
  });
  const values = [...float64Of(loadExamples(masked, 16).inputs.mask!)];
  assert.deepEqual(new Set(values), new Set([0, 1]));
  assert.ok(values.every((value, i) => i % 5 !== 0 || value === 1));
});

for (const batch of [1, 2, 5, 8]) {
  Deno.test(`runExamples() joins batches of ${batch}, feeds what has no batch whole, and gives all outputs`, () =>
    withModel(async (model) => {
      const examples = loadExamples(model, batch);
      assert.equal(examples.count, 5);
      const { inputs } = model.trace({ weights: randomWeights({ seed: 0 }), dims: { B: batch } });
      assert.deepEqual(inputs[0]!.type.shape, [batch, "T", 3]);
      const graph = model.trace({ weights: randomWeights({ seed: 0 }), dims: { B: batch } });
      await using session = await sessionFromOnnx(onnxBytes(graph));
      const outputs = await runExamples(session, examples, batch);
      const wave = (f: (i: number) => number) => ({
        shape: [5, 2, 3],
        data: Float64Array.from({ length: 30 }, (_, i) => f(i)),
      });
      const sum = wave((i) => Math.sin(i) + Math.sin(i % 6));
      const twice = wave((i) => 2 * Math.sin(i));
      // One float32 addition.
      const expected = { outputs: { sum, twice }, against: "arithmetic", isTruth: true };
      const difference = discrepancy(outputs, expected, { network: "network", precision: "fp32" });
      assert.ok(difference.maxAbsError < 2e-7 && difference.agrees === true);
      const off = { ...sum, data: sum.data.map((value) => value + 0.1) };
      const wrong = { ...expected, outputs: { sum: off } };
      assert.equal(discrepancy(outputs, wrong, { network: "network", precision: "fp32" }).agrees, false);
    }));
}

Deno.test("loadExamples() refuses data that does not fit the inputs", () =>
  withModel((model) => {
    const wide = { ...model, evaluation: { ...model.evaluation!, inputs: { x: "wide", mask: "mask" } } };
    assert.throws(
      () => loadExamples(wide, 2),
      (error) =>
        error instanceof UnfoldError && /"wide".*\[5, 2, 4\]; \[5, 2, 3\] is needed/.test(error.message),
    );
    const short = { ...model, evaluation: { ...model.evaluation!, inputs: { x: "x" } } };
    assert.throws(() => loadExamples(short, 2), /does not name a tensor for mask/);
    return Promise.resolve();
  }));
