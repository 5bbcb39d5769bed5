/** Sigmoid linear unit (swish). */
import { defineOp, everyAxis, requireFloat } from "./define.ts";
import { mapValues } from "./reference.ts";

export const silu = defineOp({
  name: "silu",
  doc: "x / (1 + exp(-x))",
  operands: ["x"],
  infer: (inputs, _: Record<never, never>) => {
    requireFloat(inputs);
    return inputs[0];
  },
  kind: "pointwise",
  keepsZero: true,
  ahead: everyAxis,
  evaluate: ([x]) => mapValues(x, (v) => v / (1 + Math.exp(-v))),
  tensorrt: (net, [x]) => net.elementwise("prod", x, net.activation("sigmoid", x)),
  onnx: (g, [x]) => g.node("Mul", [x, g.node("Sigmoid", [x])]),
});
