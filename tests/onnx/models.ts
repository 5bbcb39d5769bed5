/** ONNX models as their parts, for tests: what is left out is small and right. */
import { join } from "node:path";
import { readOnnx } from "../../src/onnx/read.ts";
import { DATA_TYPE, SCHEMA } from "../../src/onnx/schema.ts";
import type { OnnxFile } from "../../src/onnx/file.ts";
import { withFolder } from "../support.ts";

/** Messages in the words of the schema. */
export type Proto = Readonly<Record<string, unknown>>;

export const node = (opType: string, input: string[], output: string[], more: Proto = {}): Proto => ({
  opType,
  input,
  output,
  ...more,
});

export const value = (name: string, dim: readonly (number | string)[] = [2], elemType = 1): Proto => ({
  name,
  type: {
    tensorType: {
      elemType,
      shape: { dim: dim.map((size) => typeof size === "number" ? { dimValue: size } : { dimParam: size }) },
    },
  },
});

/** Floats as they lie in a file, or what is given instead. */
export const tensor = (name: string, values: readonly number[], more: Proto = {}): Proto => ({
  name,
  dims: [values.length],
  dataType: DATA_TYPE.fp32,
  rawData: new Uint8Array(Float32Array.from(values).buffer),
  ...more,
});

export const flag = (name: string, value: boolean): Proto =>
  tensor(name, [], { dims: [], dataType: DATA_TYPE.bool, rawData: Uint8Array.of(Number(value)) });

/** A graph from `x` to `y`. */
export const graph = (node: readonly Proto[], more: Proto = {}): Proto => ({
  name: "g",
  node,
  input: [value("x")],
  output: [value("y")],
  ...more,
});

export function modelBytes(graph: Proto | null, more: Proto = {}): Uint8Array {
  const whole = { irVersion: 9, opsetImport: [{ domain: "", version: 17 }], graph, ...more };
  return Uint8Array.from(SCHEMA.lookupType("onnx.ModelProto").encode(whole).finish());
}

/** Reads bytes as the file `m.onnx` in a folder that is gone behind `body`. */
export async function withModel<T>(
  bytes: Uint8Array,
  body: (file: OnnxFile) => T,
  beside: Readonly<Record<string, Uint8Array>> = {},
): Promise<T> {
  let result: { value: T } | null = null;
  await withFolder(async (folder) => {
    for (const [name, content] of Object.entries({ "m.onnx": bytes, ...beside })) {
      await Deno.writeFile(join(folder, name), content);
    }
    result = { value: body(readOnnx(join(folder, "m.onnx"))) };
  });
  return result!.value;
}
