/** The smaller of two: a bound from above. */
import { elementwise } from "../elementwise.ts";

export const min = elementwise({
  name: "min",
  doc: "min(a, b), broadcast",
  meaning: Math.min,
  tensorrt: "min",
  onnx: "Min",
  keepsZero: true,
});
