/** Layer normalization over the last axis: statistics of each token at run time, hence never folded. */
import { commonDType, defineOp, lastDim, shapeError } from "./define.ts";
import { alongAxis } from "./reference.ts";

export type NormAttrs = { readonly epsilon: number };

export const layerNorm = defineOp({
  name: "layer_norm",
  doc: "g (x - mean x) / sqrt(var x + eps) + b over the last axis",
  infer: (inputs, _: NormAttrs) => {
    const [x, ...vectors] = inputs;
    if (vectors.length !== 2 || vectors.some(({ shape }) => shape.length !== 1 || shape[0] !== lastDim(x!))) {
      throw shapeError("layer_norm", "x [..., C] needs a gain [C] and a bias [C]", inputs);
    }
    return { dtype: commonDType("layer_norm", inputs), shape: x!.shape };
  },
  evaluate: ([x, gain, bias], { epsilon }) =>
    alongAxis(x!, x!.shape.length - 1, (run) => {
      const mean = run.reduce((a, b) => a + b, 0) / run.length;
      const variance = run.reduce((sum, v) => sum + (v - mean) ** 2, 0) / run.length;
      return run.map((v, c) => gain!.data[c]! * (v - mean) / Math.sqrt(variance + epsilon) + bias!.data[c]!);
    }),
  tensorrt: (net, [x, gain, bias], { epsilon }) =>
    net.normalization(x!, gain!, bias!, { axes: [x!.dims.length - 1], epsilon }),
  onnx: (g, inputs, { epsilon }) =>
    g.node("LayerNormalization", inputs, { axis: -1, epsilon: { float: epsilon } }),
});
