/** Exponential. */
import { pointwise } from "../pointwise.ts";

export const exp = pointwise({
  name: "exp",
  doc: "e^x",
  meaning: Math.exp,
  tensorrt: (net, x) => net.unary("exp", x),
  onnx: "Exp",
  keepsZero: false,
});
