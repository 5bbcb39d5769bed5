/** Multiplication: gates and scalings. */
import { elementwise } from "../elementwise.ts";

export const mul = elementwise({
  name: "mul",
  doc: "a * b, broadcast",
  meaning: (a, b) => a * b,
  tensorrt: "prod",
  onnx: "Mul",
  keepsZero: true,
});
