/**
 * Every sample on OpenVINO, where there is one, against the reference: fp32, in the lowest version of ONNX's
 * operators, by the bound of ONNX Runtime's tests. Left out is what its C interface does not give: scalars,
 * outputs that are constants, inputs that nothing reads; and what only ONNX Runtime has.
 */
import assert from "node:assert/strict";
import { onnxBytes } from "../../src/emit/onnx.ts";
import { type Graph, usesOf } from "../../src/ir/graph.ts";
import type { OpName } from "../../src/ops/table.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { sessionFromOnnxByOpenVino } from "../../src/run/openvino.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { testWithOpenVino } from "../openvino_library.ts";
import { type Sample, trace } from "./sample.ts";
import { SAMPLES } from "./samples.ts";

const BOUND = 1e-6;

const isGiven = (graph: Graph) =>
  graph.outputs.every(({ node }) => node.op !== "constant" && node.type.shape.length > 0) &&
  graph.inputs.every((input) => usesOf(graph).get(input)!.length > 0);

for (const [op, samples] of Object.entries(SAMPLES) as [OpName, readonly Sample[]][]) {
  testWithOpenVino(`${op} on OpenVINO means what the reference says`, async (library) => {
    for (const sample of samples.filter(({ notOnTensorRt }) => notOnTensorRt === undefined)) {
      const { graph, bound, feeds, numbers } = trace(sample, { op, precision: "fp32" });
      if (!isGiven(graph)) continue;
      const expected = evaluateGraph(bound, numbers);
      await using session = await sessionFromOnnxByOpenVino(onnxBytes(graph), { library, threads: 1 });
      const actual = await session.run(feeds);
      for (const { name } of graph.outputs) {
        const { failure, maxRelError } = compareTensors(actual[name]!, expected[name]!);
        const what = `${op} ${sample.name}, output ${name}`;
        assert.equal(failure, null, `${what}: ${failure}`);
        assert.ok(maxRelError <= BOUND, `${what}: ${maxRelError}`);
      }
    }
  });
}
