/** Gaussian error linear unit, exact (`erf`) or in its tanh approximation; the two differ by up to 1e-3. */
import { pointwise } from "../pointwise.ts";

export type GeluAttrs = { readonly approximate: "none" | "tanh" };

export const gelu = pointwise({
  name: "gelu",
  doc: "x Phi(x): x (1 + erf(x / sqrt 2)) / 2, or with tanh(sqrt(2 / pi) (x + 0.044715 x^3)) for the erf",
  meaning: (v, { approximate }: GeluAttrs) =>
    approximate === "tanh"
      ? 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
      : 0.5 * v * (1 + erf(v / Math.SQRT2)),
  tensorrt: (net, x, { approximate }) => net.activation(approximate === "tanh" ? "gelu_tanh" : "gelu_erf", x),
  onnx: (g, x, { approximate }, node) => {
    // An operator since 20. ONNX Runtime, OpenVINO and TensorRT recognize this form of older sets as one.
    if (g.opset >= 20) return g.node("Gelu", [x], { approximate });
    const binary = (type: "Add" | "Mul" | "Div", a: string, b: string | number) =>
      g.node(type, [a, typeof b === "number" ? g.scalar(b, node.type.dtype) : b]);
    if (approximate === "none") {
      const erf = g.node("Erf", [binary("Div", x, Math.SQRT2)]);
      return binary("Mul", binary("Mul", x, binary("Add", erf, 1)), 0.5);
    }
    const square = binary("Mul", binary("Mul", x, 0.044715), x);
    const inner = binary("Mul", binary("Mul", x, Math.sqrt(2 / Math.PI)), binary("Add", square, 1));
    return binary("Mul", binary("Mul", x, 0.5), binary("Add", g.node("Tanh", [inner]), 1));
  },
  keepsZero: true,
});

/**
 * The error function to about 1e-15: `2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!`, whose terms are
 * all of one sign, so that nothing cancels (Abramowitz and Stegun 7.1.6).
 */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}
