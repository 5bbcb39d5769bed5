/** Sigmoid linear unit (swish). */
import { defineOp } from "./define.ts";
import { mapValues } from "./reference.ts";

export const silu = defineOp({
  name: "silu",
  doc: "x / (1 + exp(-x))",
  infer: ([x], _: Record<never, never>) => x!,
  evaluate: ([x]) => mapValues(x!, (v) => v / (1 + Math.exp(-v))),
  tensorrt: (net, [x]) => net.elementwise("prod", x!, net.activation("sigmoid", x!)),
  onnx: (g, [x]) => g.node("Mul", [x!, g.node("Sigmoid", [x!])]),
});
