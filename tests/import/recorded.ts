/** A call of a network that PyTorch made and a fixture keeps: `input.NAME` and `output.NAME`. */
import { onnxBytes } from "../../src/emit/onnx.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { compareOutputs } from "../../src/run/compare.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import type { Feeds, Outputs } from "../../src/run/session.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";

export interface RecordedCall {
  readonly feeds: Feeds;
  readonly expected: Outputs;
}

/** The inputs and outputs in a file of safetensors. */
export function recordedCall(path: string | URL): RecordedCall {
  const file = openCheckpoint(path);
  const part = (prefix: string) =>
    Object.fromEntries(
      file.names().filter((key) => key.startsWith(prefix)).map((key) => {
        const { dtype, shape, ...data } = file.tensor(key);
        return [key.slice(prefix.length), { dtype: dtype as "fp32", shape, bytes: data.bytes() }];
      }),
    );
  return { feeds: part("input."), expected: part("output.") };
}

/** The largest error of any output, max |a - b| / max |b|, of a graph that ONNX Runtime runs. */
export async function errorOf(graph: Graph, { feeds, expected }: RecordedCall): Promise<number> {
  await using session = await sessionFromOnnx(onnxBytes(graph), { threads: 1 });
  const known = Object.fromEntries(graph.inputs.map(({ name }) => [name, feeds[name]!]));
  const { failure, maxRelError } = compareOutputs(await session.run(known), expected);
  if (failure !== null) throw new Error(failure);
  return maxRelError;
}
