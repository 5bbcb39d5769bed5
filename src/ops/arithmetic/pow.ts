/** Powers, of floating-point numbers only. NaN where a negative number has a broken exponent. */
import { elementwise } from "../elementwise.ts";

export const pow = elementwise({
  name: "pow",
  doc: "a^b, broadcast",
  meaning: Math.pow,
  tensorrt: "pow",
  onnx: "Pow",
  keepsZero: false,
  takes: "floats",
});
