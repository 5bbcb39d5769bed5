/** Mean over axes: pooling over tokens. */
import { axisIn } from "../ir/shape.ts";
import { carryOne, defineOp } from "./define.ts";
import { type ReduceAttrs, reduction } from "./reduce.ts";
import { meanOf } from "./reference.ts";

export type ReduceMeanAttrs = ReduceAttrs;

const mean = reduction({
  name: "reduce_mean",
  doc: "the mean over `axes`, which stay with size 1 where `keepDims`",
  meaning: meanOf,
  tensorrt: "avg",
  onnx: "ReduceMean",
});

export const reduceMean = defineOp({
  ...mean,
  carry: carryOne(({ axis, ...affine }, node) => {
    const { axes, keepDims } = node.attrs as ReduceMeanAttrs;
    const reduced = axes.map((a) => axisIn(a, node.inputs[0]!.type.shape.length, "reduce_mean"));
    if (reduced.includes(axis)) return { refused: "it averages over the channels themselves" };
    return { axis: keepDims ? axis : axis - reduced.filter((a) => a < axis).length, ...affine };
  }),
});
