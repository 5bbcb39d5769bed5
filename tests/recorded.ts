/** A call of a network that PyTorch made and a fixture keeps: `input.NAME` and `output.NAME`. */
import assert from "node:assert/strict";
import { onnxBytes } from "../src/emit/onnx.ts";
import { bytesAs } from "../src/ir/data.ts";
import { isFloat, type PortType } from "../src/ir/dtype.ts";
import type { Graph } from "../src/ir/graph.ts";
import { compareOutputs } from "../src/run/compare.ts";
import { sessionFromOnnx } from "../src/run/onnxruntime.ts";
import type { Feeds, Outputs } from "../src/run/session.ts";
import { openCheckpoint } from "../src/weights/mod.ts";

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

/** The largest error of any output, max |a - b| / max |b|, of a graph that ONNX Runtime runs in its own types. */
export async function errorOf(graph: Graph, { feeds, expected }: RecordedCall): Promise<number> {
  const typed = Object.fromEntries(
    graph.inputs.map(({ name, type }) => {
      const value = feeds[name];
      assert.ok(value !== undefined, `the fixture has no input ${name}`);
      if (value.dtype === type.dtype || !isFloat(value.dtype)) return [name, value];
      const { shape, bytes } = value;
      const data = { dtype: value.dtype, shape, origin: name, bytes: () => bytes };
      return [name, { dtype: type.dtype as PortType, shape, bytes: bytesAs(data, type.dtype) }];
    }),
  );
  await using session = await sessionFromOnnx(onnxBytes(graph), { threads: 1 });
  const { failure, maxRelError } = compareOutputs(await session.run(typed), expected);
  assert.equal(failure, null, `${graph.name}: ${failure}`);
  return maxRelError;
}
