/** Subtraction. */
import { elementwise } from "../elementwise.ts";

export const sub = elementwise({
  name: "sub",
  doc: "a - b, broadcast",
  meaning: (a, b) => a - b,
  tensorrt: "sub",
  onnx: "Sub",
  keepsZero: true,
});
