/** Entries at positions of several axes: the token of each example that a network pools, masks by index. */
import { elementCount } from "../../ir/data.ts";
import { defineOp } from "../define.ts";
import { Misfit } from "../operands.ts";
import { stridesOf } from "../reference.ts";
import { indexIn, requireIndices } from "./gather.ts";

export const gatherNd = defineOp({
  name: "gather_nd",
  doc:
    "x[indices[..., 0], ..., indices[..., k-1]]: rows along the last axis are positions of x's first k axes",
  operands: ["x", "indices"],
  infer: ([x, indices], _: Record<never, never>) => {
    requireIndices(indices);
    const counted = indices.shape.at(-1);
    if (typeof counted !== "number" || counted < 1 || counted > x.shape.length) {
      throw new Misfit("the indices [..., k] need a k of 1 up to the number of x's axes");
    }
    return { dtype: x.dtype, shape: [...indices.shape.slice(0, -1), ...x.shape.slice(counted)] };
  },
  kind: "move",
  breaks: () => "it picks single channels",
  ahead: ({ axis, index }, { inputs: [, { type: { shape } }] }) => {
    const counted = shape.at(-1) as number;
    return index !== 0 || axis < counted ? null : { axis: axis - counted + shape.length - 1 };
  },
  evaluate: ([x, indices]) => {
    const counted = indices.shape.at(-1)!;
    const rest = x.shape.slice(counted);
    const [strides, length] = [stridesOf(x.shape), elementCount(rest)];
    const shape = [...indices.shape.slice(0, -1), ...rest];
    const data = new Float64Array(elementCount(shape));
    for (let row = 0; row * length < data.length; row++) {
      let start = 0;
      for (let i = 0; i < counted; i++) {
        start += indexIn(indices.data[row * counted + i]!, x.shape[i]!) * strides[i]!;
      }
      data.set(x.data.subarray(start, start + length), row * length);
    }
    return { shape, data };
  },
  tensorrt: (net, [x, indices]) => net.gatherNd(x, indices),
  onnx: (g, [x, indices]) => g.node("GatherND", [x, indices]),
});
