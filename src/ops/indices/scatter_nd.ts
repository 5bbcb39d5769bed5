/** Entries at positions of several axes replaced by others: masks that are written in part, routed tokens. */
import { elementCount } from "../../ir/data.ts";
import { sameShape } from "../../ir/shape.ts";
import { defineOp } from "../define.ts";
import { Misfit } from "../operands.ts";
import { stridesOf } from "../reference.ts";
import { indexIn, requireIndices } from "./gather.ts";

export const scatterNd = defineOp({
  name: "scatter_nd",
  doc:
    "x with x[indices[..., 0], ..., indices[..., k-1]] = updates: rows along the last axis are positions, each " +
    "once, of x's first k axes",
  operands: ["x", "indices", "updates"],
  infer: ([x, indices, updates], _: Record<never, never>) => {
    requireIndices(indices);
    const counted = indices.shape.at(-1);
    if (typeof counted !== "number" || counted < 1 || counted > x.shape.length) {
      throw new Misfit("the indices [..., k] need a k of 1 up to the number of x's axes");
    }
    const wanted = [...indices.shape.slice(0, -1), ...x.shape.slice(counted)];
    if (updates.dtype !== x.dtype || !sameShape(updates.shape, wanted)) {
      throw new Misfit(`the updates must be ${x.dtype}[${wanted.join(", ")}]`);
    }
    return x;
  },
  kind: "other",
  ahead: ({ axis, index }, { inputs: [, { type: { shape } }] }) => {
    const counted = shape.at(-1) as number;
    if (index === 1) return null;
    const at = index === 0 ? axis : axis - (shape.length - 1) + counted;
    return at < counted ? null : { axis: at };
  },
  evaluate: ([x, indices, updates]) => {
    const counted = indices.shape.at(-1)!;
    const [strides, length] = [stridesOf(x.shape), elementCount(x.shape.slice(counted))];
    const data = x.data.slice();
    for (let row = 0; row * length < updates.data.length; row++) {
      let start = 0;
      for (let i = 0; i < counted; i++) {
        start += indexIn(indices.data[row * counted + i]!, x.shape[i]!) * strides[i]!;
      }
      data.set(updates.data.subarray(row * length, (row + 1) * length), start);
    }
    return { shape: x.shape, data };
  },
  tensorrt: (net, [x, indices, updates]) => net.scatterNd(x, indices, updates),
  onnx: (g, [x, indices, updates]) => g.node("ScatterND", [x, indices, updates]),
});
