/** Addition: residual streams, position embeddings. */
import { elementwise } from "../elementwise.ts";
import { sumOf } from "./sum_of.ts";

export const add = {
  ...elementwise({
    name: "add",
    doc: "a + b, broadcast",
    meaning: (a, b) => a + b,
    tensorrt: "sum",
    onnx: "Add",
    keepsZero: true,
  }),
  ...sumOf(1),
};
