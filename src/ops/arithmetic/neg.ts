/** Negation: the second half of a rotation. */
import { pointwise } from "../pointwise.ts";

export const neg = pointwise({
  name: "neg",
  doc: "-x",
  meaning: (value) => -value,
  tensorrt: (net, x) => net.unary("neg", x),
  onnx: "Neg",
  keepsZero: true,
});
