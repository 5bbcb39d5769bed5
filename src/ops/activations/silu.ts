/** Sigmoid linear unit (swish). */
import { pointwise } from "../pointwise.ts";

export const silu = pointwise({
  name: "silu",
  doc: "x / (1 + exp(-x))",
  meaning: (value) => value / (1 + Math.exp(-value)),
  tensorrt: (net, x) => net.elementwise("prod", x, net.activation("sigmoid", x)),
  onnx: (g, x) => g.node("Mul", [x, g.node("Sigmoid", [x])]),
  keepsZero: true,
});
