/** The error function: the exact GELU written out. */
import { pointwise } from "../pointwise.ts";
import { erf as erfOf } from "../activations/gelu.ts";

export const erf = pointwise({
  name: "erf",
  doc: "2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x",
  meaning: erfOf,
  tensorrt: (net, x) => net.unary("erf", x),
  onnx: "Erf",
  keepsZero: true,
});
