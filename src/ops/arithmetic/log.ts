/** Logarithm. */
import { pointwise } from "../pointwise.ts";

export const log = pointwise({
  name: "log",
  doc: "the natural logarithm of x",
  meaning: Math.log,
  tensorrt: (net, x) => net.unary("log", x),
  onnx: "Log",
  keepsZero: false,
});
