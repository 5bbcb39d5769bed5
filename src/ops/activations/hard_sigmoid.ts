/** A straight line in place of the logistic function. */
import { pointwise } from "../pointwise.ts";

/** PyTorch has 1/6 and 1/2, ONNX 0.2 and 0.5 unless it says otherwise. */
export type HardSigmoidAttrs = { readonly alpha: number; readonly beta: number };

export const hardSigmoid = pointwise({
  name: "hard_sigmoid",
  doc: "max(0, min(1, alpha x + beta))",
  meaning: (value, { alpha, beta }: HardSigmoidAttrs) => Math.max(0, Math.min(1, alpha * value + beta)),
  tensorrt: (net, x, { alpha, beta }) => net.activation({ kind: "hard_sigmoid", alpha, beta }, x),
  onnx: (g, x, { alpha, beta }) =>
    g.node("HardSigmoid", [x], { alpha: { float: alpha }, beta: { float: beta } }),
  bf16Since: 22,
  keepsZero: false,
});
