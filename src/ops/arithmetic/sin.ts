/** Sine: positions that are computed at run time. */
import { pointwise } from "../pointwise.ts";

export const sin = pointwise({
  name: "sin",
  doc: "the sine of x",
  meaning: Math.sin,
  tensorrt: (net, x) => net.unary("sin", x),
  onnx: "Sin",
  bf16Since: 22,
  keepsZero: true,
});
