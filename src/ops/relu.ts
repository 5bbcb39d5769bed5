/** Rectified linear unit. */
import { defineOp, everyAxis, requireFloat } from "./define.ts";
import { mapValues } from "./reference.ts";

export const relu = defineOp({
  name: "relu",
  doc: "max(x, 0)",
  operands: ["x"],
  infer: (inputs, _: Record<never, never>) => {
    requireFloat(inputs);
    return inputs[0];
  },
  kind: "pointwise",
  keepsZero: true,
  ahead: everyAxis,
  evaluate: ([x]) => mapValues(x, (v) => Math.max(v, 0)),
  tensorrt: (net, [x]) => net.activation("relu", x),
  onnx: (g, [x]) => g.node("Relu", [x]),
});
