/** Mean over axes: pooling over tokens. */
import { axisIn } from "../ir/shape.ts";
import { carryOne, defineOp, requireFloat, shapeError } from "./define.ts";
import { alongAxis, gatherStrided, stridesOf } from "./reference.ts";

export type ReduceMeanAttrs = { readonly axes: readonly number[]; readonly keepDims: boolean };

export const reduceMean = defineOp({
  name: "reduce_mean",
  doc: "the mean over `axes`, which stay with size 1 where `keepDims`",
  infer: ([x], { axes, keepDims }: ReduceMeanAttrs) => {
    const reduced = axes.map((axis) => axisIn(axis, x!.shape.length, "reduce_mean"));
    // ONNX reads no axes as all of them.
    if (reduced.length === 0 || new Set(reduced).size < reduced.length) {
      throw shapeError("reduce_mean", "give each axis to average over, once", [x!]);
    }
    requireFloat("reduce_mean", [x!]);
    const shape = x!.shape.flatMap((dim, i) => !reduced.includes(i) ? [dim] : keepDims ? [1] : []);
    return { dtype: x!.dtype, shape };
  },
  evaluate: ([x], { axes, keepDims }) => {
    const reduced = axes.map((axis) => axisIn(axis, x!.shape.length, "reduce_mean"));
    const averaged = reduced.reduce(
      (value, axis) => alongAxis(value, axis, (run) => run.fill(run.reduce((a, b) => a + b, 0) / run.length)),
      x!,
    );
    const ones = x!.shape.map((dim, i) => reduced.includes(i) ? 1 : dim);
    const data = gatherStrided(averaged.data, ones, { strides: stridesOf(x!.shape) });
    return { shape: keepDims ? ones : x!.shape.filter((_, i) => !reduced.includes(i)), data };
  },
  tensorrt: (net, [x], { axes, keepDims }) =>
    net.mean(x!, axes.map((axis) => axisIn(axis, x!.dims.length, "reduce_mean")), keepDims),
  onnx: (g, [x], { axes, keepDims }) =>
    g.node("ReduceMean", [x!, g.int64(axes)], { keepdims: keepDims ? 1 : 0 }),
  carry: carryOne(({ axis, ...affine }, node) => {
    const { axes, keepDims } = node.attrs as ReduceMeanAttrs;
    const reduced = axes.map((a) => axisIn(a, node.inputs[0]!.type.shape.length, "reduce_mean"));
    if (reduced.includes(axis)) return { refused: "it averages over the channels themselves" };
    return { axis: keepDims ? axis : axis - reduced.filter((a) => a < axis).length, ...affine };
  }),
});
