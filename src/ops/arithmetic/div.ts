/** Division, of floating-point numbers only (whole ones would be cut off): weighted means, unit rows. */
import { elementwise } from "../elementwise.ts";

export const div = elementwise({
  name: "div",
  doc: "a / b, broadcast",
  meaning: (a, b) => a / b,
  tensorrt: "div",
  onnx: "Div",
  keepsZero: false,
  takes: "floats",
});
