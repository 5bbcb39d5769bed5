/** The larger of two: a divisor kept away from zero. */
import { elementwise } from "../elementwise.ts";

export const max = elementwise({
  name: "max",
  doc: "max(a, b), broadcast",
  meaning: Math.max,
  tensorrt: "max",
  onnx: "Max",
  keepsZero: true,
});
