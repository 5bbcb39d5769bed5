/**
 * A bias and the Gaussian error linear unit behind it as one pass over a tensor, after a product that then has no bias: in
 * ONNX Runtime's matrix product the bias is written beforehand, by one thread, and read back.
 */
import { add } from "./add.ts";
import { commonDType, defineOp, everyAxis, lastDim, onlyForOnnxRuntime, shapeError } from "./define.ts";
import { gelu, type GeluAttrs } from "./gelu.ts";

export const biasGelu = defineOp({
  name: "bias_gelu",
  doc: "gelu(x + b), with x [..., C], b [C]",
  kind: "pointwise",
  keepsZero: true,
  ahead: everyAxis,
  infer: (inputs, _: GeluAttrs) => {
    const [x, bias] = inputs;
    if (bias!.shape.length !== 1 || lastDim(x!) !== bias!.shape[0]) {
      throw shapeError("bias_gelu", "x [..., C] needs a bias [C]", inputs);
    }
    return { dtype: commonDType("bias_gelu", inputs), shape: x!.shape };
  },
  evaluate: (inputs, attrs) => gelu.evaluate([add.evaluate(inputs, {})], attrs),
  tensorrt: onlyForOnnxRuntime,
  onnx: (g, inputs, { approximate }) =>
    g.node(approximate === "tanh" ? "com.microsoft.FastGelu" : "com.microsoft.BiasGelu", inputs),
});
