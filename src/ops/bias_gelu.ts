/**
 * A bias and the Gaussian error linear unit behind it as one pass over a tensor, after a product that then
 * has no bias: ONNX Runtime's matrix product writes the bias beforehand, by one thread, and reads it back.
 */
import { add } from "./arithmetic/add.ts";
import { commonDType, defineOp, everyAxis, lastDim, onlyForOnnxRuntime } from "./define.ts";
import { Misfit } from "./operands.ts";
import { gelu, type GeluAttrs } from "./activations/gelu.ts";

export const biasGelu = defineOp({
  name: "bias_gelu",
  doc: "gelu(x + b), with x [..., C], b [C]",
  operands: ["x", "bias"],
  infer: (inputs, _: GeluAttrs) => {
    const [x, bias] = inputs;
    if (bias.shape.length !== 1 || lastDim(x) !== bias.shape[0]) {
      throw new Misfit("x [..., C] needs a bias [C]");
    }
    return { dtype: commonDType(inputs), shape: x.shape };
  },
  kind: "pointwise",
  keepsZero: true,
  ahead: everyAxis,
  evaluate: (inputs, attrs) => gelu.evaluate([add.evaluate(inputs, {})], attrs),
  tensorrt: onlyForOnnxRuntime,
  onnx: (g, inputs, { approximate }) =>
    g.node(approximate === "tanh" ? "com.microsoft.FastGelu" : "com.microsoft.BiasGelu", inputs),
});
