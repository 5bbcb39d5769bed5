/** The logistic function: gates. */
import { pointwise } from "../pointwise.ts";

export const sigmoid = pointwise({
  name: "sigmoid",
  doc: "1 / (1 + e^-x)",
  meaning: (value) => 1 / (1 + Math.exp(-value)),
  tensorrt: (net, x) => net.activation("sigmoid", x),
  onnx: "Sigmoid",
  keepsZero: false,
});
