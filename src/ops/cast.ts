/** Conversion between element types, rounding to nearest even. */
import { type DType, isFloat } from "../ir/dtype.ts";
import { defineOp } from "./define.ts";

export type CastAttrs = { readonly to: DType };

export const cast = defineOp({
  name: "cast",
  doc: "x in another element type",
  operands: ["x"],
  infer: ([x], { to }: CastAttrs) => ({ dtype: to, shape: x.shape }),
  kind: "move",
  breaks: () => "it makes whole numbers of it",
  ahead: ({ axis }, { type }) => isFloat(type.dtype) ? { axis } : null,
  // Integers truncate toward zero, as PyTorch, ONNX and TensorRT do; floats stay as they are in float64.
  evaluate: ([x], { to }) =>
    to === "int32" || to === "int64"
      ? { shape: x.shape, data: x.data.map(Math.trunc) }
      : to === "bool"
      ? { shape: x.shape, data: x.data.map((v) => v === 0 ? 0 : 1) }
      : x,
  tensorrt: (net, [x], { to }) => net.cast(x, to),
  onnx: (g, [x], { to }) => g.cast(x, to),
});
