/** Rectified linear unit with a slope below zero. */
import { pointwise } from "../pointwise.ts";

export type LeakyReluAttrs = { readonly alpha: number };

export const leakyRelu = pointwise({
  name: "leaky_relu",
  doc: "x from 0 on, alpha x below",
  meaning: (value, { alpha }: LeakyReluAttrs) => value >= 0 ? value : alpha * value,
  tensorrt: (net, x, { alpha }) => net.activation({ kind: "leaky_relu", alpha }, x),
  onnx: (g, x, { alpha }) => g.node("LeakyRelu", [x], { alpha: { float: alpha } }),
  keepsZero: true,
});
