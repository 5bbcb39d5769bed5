/**
 * Every sample built by TensorRT where a library is given: what the operators emit is accepted, gives each
 * output the element type and shape that the graph says, and becomes an engine. That needs no GPU; that the
 * engine computes what the reference says does, and is skipped here.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { loadTensorRt, type TensorRt } from "../../native/tensorrt/mod.ts";
import { buildEngine, describeNetwork } from "../../src/emit/tensorrt.ts";
import type { Graph } from "../../src/ir/graph.ts";
import type { OpName } from "../../src/ops/table.ts";
import { rejects, withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";
import { type Sample, trace } from "./sample.ts";
import { SAMPLES } from "./samples.ts";

for (const [op, samples] of Object.entries(SAMPLES) as [OpName, readonly Sample[]][]) {
  testWithLibrary(`${op} builds on TensorRT`, (library) =>
    withFolder(async (folder) => {
      using trt = loadTensorRt(library);
      for (const sample of samples) {
        if (sample.notOnTensorRt !== undefined) {
          const { graph } = trace(sample, { op, precision: "fp32" });
          await rejects(described(trt, graph), sample.notOnTensorRt);
          continue;
        }
        for (const precision of ["fp32", "fp16", "bf16"] as const) {
          const { graph } = trace(sample, { op, precision });
          assert.deepEqual(
            await described(trt, graph),
            declared(graph),
            `${op} ${sample.name}, ${precision}`,
          );
        }
        await build(sample, { op, library, path: join(folder, "sample.engine") });
      }
    }));
}

async function build(
  sample: Sample,
  { op, library, path }: { op: OpName; library: string; path: string },
): Promise<void> {
  const { graph } = trace(sample, { op, precision: "fp32" });
  const ranges = Object.entries(sample.dims ?? {})
    .map(([name, size]) => [name, { min: 1, opt: size, max: 2 * size }] as const);
  const profiles = [Object.fromEntries(ranges)];
  const { byteLength } = await buildEngine(graph, { path, library, profiles, targets: sample.targets });
  assert.equal((await Deno.stat(path)).size, byteLength, `${op} ${sample.name}`);
}

type Ends = Record<string, { dtype: string; dims: readonly number[] }>;

/** What TensorRT infers for the outputs. */
async function described(trt: TensorRt, graph: Graph): Promise<Ends> {
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  const ends: Ends = {};
  const markOutput = network.markOutput.bind(network);
  network.markOutput = (tensor, name) => {
    ends[name] = { dtype: tensor.dtype, dims: tensor.dims() };
    markOutput(tensor, name);
  };
  await describeNetwork(network, graph);
  return ends;
}

/** What the graph says, open sizes as -1. */
function declared(graph: Graph): Ends {
  return Object.fromEntries(
    graph.outputs.map(({ name, node: { type } }) => [
      name,
      { dtype: type.dtype, dims: type.shape.map((dim) => typeof dim === "number" ? dim : -1) },
    ]),
  );
}

Deno.test({
  name: "TensorRT computes what the reference says (skipped: needs a GPU)",
  ignore: true,
  fn: () => {},
});
