/** Where a value is not a number: a softmax over nothing, which some attentions replace by zeros. */
import { defineOp, everyAxis, requireFloat } from "../define.ts";
import { mapValues } from "../reference.ts";

export const isNan = defineOp({
  name: "is_nan",
  doc: "whether x is not a number",
  operands: ["x"],
  infer: (inputs, _: Record<never, never>) => {
    requireFloat(inputs);
    return { dtype: "bool", shape: inputs[0].shape };
  },
  kind: "pointwise",
  keepsZero: true,
  ahead: everyAxis,
  evaluate: ([x]) => mapValues(x, (value) => Number.isNaN(value) ? 1 : 0),
  tensorrt: (net, [x]) => net.unary("isnan", x),
  onnx: (g, [x]) => g.node("IsNaN", [x]),
});
