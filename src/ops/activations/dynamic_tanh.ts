/** The tanh of Dynamic Tanh (Zhu et al. 2025), which stays; gain and bias behind it fold. */
import type { NormId } from "../define.ts";
import { pointwise } from "../pointwise.ts";

export type DynamicTanhAttrs = {
  /** The learnt factor, one number for all channels. */
  readonly alpha: number;
  readonly norm?: NormId;
};

export const dynamicTanh = pointwise({
  name: "dynamic_tanh",
  doc: "tanh(alpha x)",
  meaning: (value, { alpha }: DynamicTanhAttrs) => Math.tanh(alpha * value),
  tensorrt: (net, x, { alpha }, node) =>
    net.activation("tanh", net.elementwise("prod", x, net.scalar(alpha, node.type.dtype, x.dims.length))),
  onnx: (g, x, { alpha }, node) => g.node("Tanh", [g.node("Mul", [x, g.scalar(alpha, node.type.dtype)])]),
  keepsZero: true,
});
