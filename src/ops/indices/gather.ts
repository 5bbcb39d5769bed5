/** Rows of a table by index: embeddings, and permutations of tokens. */
import { axisIn } from "../../ir/shape.ts";
import { UnfoldError } from "../../errors.ts";
import { elementCount } from "../../ir/data.ts";
import type { TensorType } from "../../ir/graph.ts";
import { defineOp } from "../define.ts";
import { Misfit } from "../operands.ts";

export type GatherAttrs = { readonly axis: number };

export const gather = defineOp({
  name: "gather",
  doc: "x[..., indices, ...] along `axis`: indices of any shape stand in for that axis",
  operands: ["x", "indices"],
  infer: (inputs, { axis }: GatherAttrs) => {
    const [x, indices] = inputs;
    const at = axisIn(axis, x.shape.length, "gather");
    requireIndices(indices);
    return {
      dtype: x.dtype,
      shape: [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)],
    };
  },
  kind: "move",
  breaks: () => "it picks single channels",
  ahead: ({ axis, index }, { attrs, inputs: [x, indices] }) => {
    const at = axisIn(attrs.axis, x.type.shape.length, "gather");
    if (index !== 0 || axis === at) return null;
    return { axis: axis < at ? axis : axis - 1 + indices.type.shape.length };
  },
  evaluate: ([x, indices], { axis }) => {
    const at = axisIn(axis, x.shape.length, "gather");
    const rows = x.shape[at]!;
    const inner = elementCount(x.shape.slice(at + 1));
    const outer = elementCount(x.shape.slice(0, at));
    const shape = [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)];
    const data = new Float64Array(elementCount(shape));
    for (let o = 0, position = 0; o < outer; o++) {
      for (const row of indices.data) {
        const start = (o * rows + indexIn(row, rows)) * inner;
        data.set(x.data.subarray(start, start + inner), position);
        position += inner;
      }
    }
    return { shape, data };
  },
  tensorrt: (net, [x, indices], { axis }) => net.gather(x, indices, axisIn(axis, x.dims.length, "gather")),
  onnx: (g, [x, indices], { axis }) => g.node("Gather", [x, indices], { axis }),
});

export function requireIndices({ dtype }: TensorType): void {
  if (dtype !== "int32" && dtype !== "int64") throw new Misfit("the indices must be int32 or int64");
}

/** An index of an axis, none of those that count from the back: TensorRT has no such. */
export function indexIn(index: number, size: number): number {
  if (index >= 0 && index < size) return index;
  throw new UnfoldError(`gather: index ${index} is outside 0 to ${size - 1}`);
}
