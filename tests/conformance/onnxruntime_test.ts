/**
 * Every sample on ONNX Runtime against the reference. The bounds are normwise, max |a - b| / max |b|:
 *
 * - fp32: 1e-6. Float32 rounds to 6e-8; a value here is the end of up to five roundings after a sum of at
 *   most 48 products, whose errors grow like the root of their number, and of exp and erf good to a few units
 *   in the last place. Measured: 2e-7. A wrong axis, sign or epsilon is off by 1e-2 or more.
 * - fp16: 2e-3. Float16 rounds to 5e-4, and parameters are rounded too, which the reference is not. Measured:
 *   5e-4, since ONNX Runtime computes in float32 between.
 */
import assert from "node:assert/strict";
import { onnxBytes } from "../../src/emit/onnx.ts";
import { HIGHEST_OPSET, LOWEST_OPSET } from "../../src/emit/opset.ts";
import type { Precision } from "../../src/ir/dtype.ts";
import type { OpName } from "../../src/ops/table.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { type Sample, trace } from "./sample.ts";
import { SAMPLES } from "./samples.ts";

const BOUNDS: Readonly<Record<"fp32" | "fp16", number>> = { fp32: 1e-6, fp16: 2e-3 };

for (const [op, samples] of Object.entries(SAMPLES) as [OpName, readonly Sample[]][]) {
  Deno.test(`${op} on ONNX Runtime means what the reference says`, async () => {
    assert.ok(samples.length > 0, `${op} has no samples`);
    for (const sample of samples) {
      for (const opset of [sample.opset ?? LOWEST_OPSET, HIGHEST_OPSET]) {
        await check(sample, { op, precision: "fp32", opset });
      }
      if (sample.onlyIn === undefined) await check(sample, { op, precision: "fp16" });
    }
  });
}

async function check(
  sample: Sample,
  { op, precision, opset }: { op: OpName; precision: Precision & keyof typeof BOUNDS; opset?: number },
): Promise<void> {
  const { graph, bound, feeds, numbers } = trace(sample, { op, precision });
  verifyGraph(graph, "trace");
  verifyGraph(bound, "bindDims");
  const expected = evaluateGraph(bound, numbers);
  await using session = await sessionFromOnnx(onnxBytes(graph, { opset }), { threads: 1 });
  assert.deepEqual(
    session.outputs.map(({ name, dtype }) => [name, dtype]),
    graph.outputs.map(({ name, node }) => [name, node.type.dtype]),
  );
  const actual = await session.run(feeds);
  for (const { name } of graph.outputs) {
    const { failure, maxRelError, worst } = compareTensors(actual[name]!, expected[name]!);
    const what = `${op} ${sample.name}, ${precision}, opset ${opset ?? "unless given"}, output ${name}`;
    assert.equal(failure, null, `${what}: ${failure}`);
    assert.ok(maxRelError <= BOUNDS[precision], `${what}: ${maxRelError} at ${JSON.stringify(worst)}`);
  }
}
