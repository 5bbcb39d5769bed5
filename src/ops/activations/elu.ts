/** Exponential linear unit (Clevert et al. 2016); linear attention adds 1 to it. */
import { pointwise } from "../pointwise.ts";

export type EluAttrs = { readonly alpha: number };

export const elu = pointwise({
  name: "elu",
  doc: "x from 0 on, alpha (e^x - 1) below",
  meaning: (value, { alpha }: EluAttrs) => value >= 0 ? value : alpha * Math.expm1(value),
  tensorrt: (net, x, { alpha }) => net.activation({ kind: "elu", alpha }, x),
  onnx: (g, x, { alpha }) => g.node("Elu", [x], { alpha: { float: alpha } }),
  bf16Since: 22,
  keepsZero: true,
});
