/** Square root. */
import { pointwise } from "../pointwise.ts";

export const sqrt = pointwise({
  name: "sqrt",
  doc: "the square root of x",
  meaning: Math.sqrt,
  tensorrt: (net, x) => net.unary("sqrt", x),
  onnx: "Sqrt",
  keepsZero: true,
});
