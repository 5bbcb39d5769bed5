/** Layer normalization over the last axis: statistics of each token at run time, hence never folded. */
import { heldData } from "../ir/data.ts";
import type { Node } from "../ir/graph.ts";
import { sameShape } from "../ir/shape.ts";
import { commonDType, defineOp, everyRow, lastDim, type NormId } from "./define.ts";
import { Misfit } from "./operands.ts";
import { alongAxis } from "./reference.ts";

export type NormAttrs = {
  readonly epsilon: number;
  /** Absent of one whose gain and shift, if it has any, are its own inputs. */
  readonly norm?: NormId;
};

export const layerNorm = defineOp({
  name: "layer_norm",
  doc: "g (x - mean x) / sqrt(var x + eps) + b over the last axis; without g and b the bare standardization",
  operands: ["x", ["gain", "bias"]],
  infer: (inputs, _: NormAttrs) => {
    const [x, ...vectors] = inputs;
    const channels = lastDim(x);
    if (vectors.some((vector) => vector && !sameShape(vector.shape, [channels]))) {
      throw new Misfit("x [..., C] needs a gain [C] and a bias [C], or neither");
    }
    if (vectors[0] === undefined && typeof channels !== "number") {
      throw new Misfit("without a gain the channel axis must have a fixed size");
    }
    return { dtype: commonDType(inputs), shape: x.shape };
  },
  kind: "other",
  ahead: everyRow,
  evaluate: ([x, gain, bias], { epsilon }) =>
    alongAxis(x, x.shape.length - 1, (run) => {
      const mean = run.reduce((a, b) => a + b, 0) / run.length;
      const variance = run.reduce((sum, v) => sum + (v - mean) ** 2, 0) / run.length;
      const bare = run.map((v) => (v - mean) / Math.sqrt(variance + epsilon));
      return gain === undefined ? bare : bare.map((v, c) => gain.data[c]! * v + bias.data[c]!);
    }),
  // Both backends' operators want a gain, and TensorRT's a bias. ONNX's is optional, but the AttentionFusion
  // of ONNX Runtime 1.16 to 1.18 reads it where it is not, and the process aborts.
  tensorrt: (net, [x, gain, bias], { epsilon }, node) =>
    net.normalization(
      x,
      gain ?? net.constant(...everyChannel(1, node)),
      bias ?? net.constant(...everyChannel(0, node)),
      { axes: [x.dims.length - 1], epsilon },
    ),
  onnx: (g, [x, gain, bias], { epsilon }, node) =>
    g.node(
      "LayerNormalization",
      [x, gain ?? g.constant(...everyChannel(1, node)), bias ?? g.constant(...everyChannel(0, node))],
      { axis: -1, epsilon: { float: epsilon } },
    ),
});

/** `value` for each channel of the result. */
function everyChannel(value: number, node: Node) {
  const shape = [lastDim(node.type) as number];
  const values = new Float64Array(shape[0]!).fill(value);
  return [heldData(shape, values, node.name), { dtype: node.type.dtype, shape }] as const;
}
