/** The floats that `quantize` came from, or that a quantized weight stands for. */
import { isFloat } from "../ir/dtype.ts";
import type { TensorType } from "../ir/graph.ts";
import { defineOp } from "./define.ts";
import { Misfit } from "./operands.ts";
import { requireNoZero } from "./quantize.ts";

export type DequantizeAttrs = {
  /** Of a scale [C]: the axis that it is of. */
  readonly axis?: number;
  readonly zero: number;
};

export const dequantize = defineOp({
  name: "dequantize",
  doc: "(q - zero) scale, with scale [], [C] along `axis`, or as many as q has blocks, [O, C / block]",
  operands: ["q", "scale"],
  infer: ([q, scale], { axis }: DequantizeAttrs) => {
    if (!isFloat(scale.dtype)) throw new Misfit("the scale must be floating-point");
    if (isFloat(q.dtype)) throw new Misfit("q must be quantized");
    if (axis !== undefined && (scale.shape.length !== 1 || scale.shape[0] !== q.shape[axis])) {
      throw new Misfit(`the scale must have the size of axis ${axis}`);
    }
    if (axis === undefined && scale.shape.length > 0) blockOf(q, scale);
    return { dtype: scale.dtype, shape: q.shape };
  },
  kind: "other",
  ahead: ({ axis: at, index }, { attrs: { axis }, inputs: [q, scale] }) => {
    if (axis !== undefined) return index === 0 ? { axis: at } : { axis };
    return scale.type.shape.length === 0 || q.type.shape[at] === scale.type.shape[at] ? { axis: at } : null;
  },
  evaluate: ([q, scale], { axis, zero }) => {
    const sizes = q.shape.map((_, at) =>
      axis === undefined ? scale.shape[at] ?? 1 : at === axis ? scale.data.length : 1
    );
    const strides = sizes.map((_, at) => sizes.slice(at + 1).reduce((product, size) => product * size, 1));
    const data = q.data.map((value, i) => {
      let [rest, from] = [i, 0];
      for (let at = q.shape.length - 1; at >= 0; at--) {
        const size = q.shape[at]!;
        from += Math.floor(rest % size * sizes[at]! / size) * strides[at]!;
        rest = Math.floor(rest / size);
      }
      return (value - zero) * scale.data[from]!;
    });
    return { shape: q.shape, data };
  },
  tensorrt: (net, [q, scale], { axis, zero }) => {
    requireNoZero(zero);
    return net.dequantize(q, scale, axis);
  },
  onnx: (g, [q, scale], { axis, zero }, { inputs: [{ type }, { type: scaleType }] }) =>
    g.dequantize(q, scale, {
      from: type.dtype,
      to: scaleType.dtype,
      zero,
      ...axis !== undefined ? { axis } : scaleType.shape.length > 0 ? blockOf(type, scaleType) : {},
    }),
});

/** The axis along which neighbours share a scale, and how many do. */
function blockOf(q: TensorType, scale: TensorType): { readonly axis: number; readonly block: number } {
  const misfit = () =>
    new Misfit("the scale must be [], [C] along an axis, or of q's rank with blocks along one axis");
  if (q.shape.length !== scale.shape.length) throw misfit();
  const axes = q.shape.flatMap((size, axis) => size === scale.shape[axis] ? [] : [axis]);
  const [axis = q.shape.length - 1] = axes;
  const [size, blocks] = [q.shape[axis], scale.shape[axis]];
  if (axes.length > 1 || typeof size !== "number" || typeof blocks !== "number" || size % blocks !== 0) {
    throw misfit();
  }
  return { axis, block: size / blocks };
}
