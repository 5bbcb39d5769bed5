/** Subtraction. */
import { elementwise } from "../elementwise.ts";
import { sumOf } from "./sum_of.ts";

export const sub = {
  ...elementwise({
    name: "sub",
    doc: "a - b, broadcast",
    meaning: (a, b) => a - b,
    tensorrt: "sub",
    onnx: "Sub",
    keepsZero: true,
  }),
  ...sumOf(-1),
};
