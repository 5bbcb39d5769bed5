/** Rectified linear unit. */
import { pointwise } from "../pointwise.ts";

export const relu = pointwise({
  name: "relu",
  doc: "max(x, 0)",
  meaning: (value) => Math.max(value, 0),
  tensorrt: (net, x) => net.activation("relu", x),
  onnx: "Relu",
  keepsZero: true,
});
