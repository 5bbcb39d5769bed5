/** Addition: residual streams, position embeddings. */
import { elementwise } from "./elementwise.ts";

export const add = elementwise({
  name: "add",
  doc: "a + b, broadcast",
  meaning: (a, b) => a + b,
  tensorrt: "sum",
  onnx: "Add",
});
