/** Hyperbolic tangent: gates, and the pooler of BERT. */
import { pointwise } from "../pointwise.ts";

export const tanh = pointwise({
  name: "tanh",
  doc: "tanh(x)",
  meaning: Math.tanh,
  tensorrt: (net, x) => net.activation("tanh", x),
  onnx: "Tanh",
  keepsZero: true,
});
