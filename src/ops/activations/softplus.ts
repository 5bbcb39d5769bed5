/** A smooth rectified linear unit. */
import { pointwise } from "../pointwise.ts";

export const softplus = pointwise({
  name: "softplus",
  doc: "log(1 + e^x)",
  meaning: softplusOf,
  tensorrt: (net, x) => net.activation({ kind: "softplus", alpha: 1, beta: 1 }, x),
  onnx: "Softplus",
  bf16Since: 22,
  keepsZero: false,
});

/** Without an overflow: `max(x, 0) + log(1 + e^-|x|)`. */
export function softplusOf(value: number): number {
  return Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)));
}
