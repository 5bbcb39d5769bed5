/** The absolute value. */
import { pointwise } from "../pointwise.ts";

export const abs = pointwise({
  name: "abs",
  doc: "|x|",
  meaning: Math.abs,
  tensorrt: (net, x) => net.unary("abs", x),
  onnx: "Abs",
  keepsZero: true,
});
