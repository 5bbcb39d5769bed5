/** Cosine: positions that are computed at run time. */
import { pointwise } from "../pointwise.ts";

export const cos = pointwise({
  name: "cos",
  doc: "the cosine of x",
  meaning: Math.cos,
  tensorrt: (net, x) => net.unary("cos", x),
  onnx: "Cos",
  bf16Since: 22,
  keepsZero: false,
});
