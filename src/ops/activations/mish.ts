/** Mish (Misra 2020). TensorRT and older ONNX make it of a softplus and a tanh. */
import { pointwise } from "../pointwise.ts";
import { softplusOf } from "./softplus.ts";

export const mish = pointwise({
  name: "mish",
  doc: "x tanh(log(1 + e^x))",
  meaning: (value) => value * Math.tanh(softplusOf(value)),
  tensorrt: (net, x) =>
    net.elementwise(
      "prod",
      x,
      net.activation("tanh", net.activation({ kind: "softplus", alpha: 1, beta: 1 }, x)),
    ),
  onnx: (g, x) =>
    g.opset >= 18 ? g.node("Mish", [x]) : g.node("Mul", [x, g.node("Tanh", [g.node("Softplus", [x])])]),
  bf16Since: 22,
  keepsZero: true,
});
