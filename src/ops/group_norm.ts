/**
 * Group normalization (Wu and He 2018) of channel-last tokens: statistics of each example at run time, over
 * all its tokens and one group of channels, as PyTorch's GroupNorm takes them of `[B, C, ...]`.
 */
import type { TensorType } from "../ir/graph.ts";
import { divideDims, sameShape, type Shape, sizeOf } from "../ir/shape.ts";
import { commonDType, defineOp, lastDim, type ReferenceTensor } from "./define.ts";
import { Misfit } from "./operands.ts";
import type { NormAttrs } from "./layer_norm.ts";
import { inFloat32, onOnnx, onTensorRt, type Primitives } from "./primitives.ts";
import { binary, mapValues, meanOf, reduceValues } from "./reference.ts";

/** `groups` divides the channels into contiguous parts. */
export type GroupNormAttrs = NormAttrs & { readonly groups: number };

/** Tokens and channels of a group, in the shape of `grouped`. */
const AVERAGED = [1, 3];

export const groupNorm = defineOp({
  name: "group_norm",
  doc:
    "g (x - mean x) / sqrt(var x + eps) + b over the middle axes and each group of channels of x [B, ..., C]",
  operands: ["x", ["gain", "bias"]],
  infer: (inputs, { groups }: GroupNormAttrs) => {
    const [x, ...vectors] = inputs;
    if (x.shape.length < 2) throw new Misfit("x must be [B, ..., C]");
    const channels = lastDim(x);
    if (vectors.some((vector) => vector && !sameShape(vector.shape, [channels]))) {
      throw new Misfit("x [B, ..., C] needs a gain [C] and a bias [C], or neither");
    }
    if (!Number.isInteger(groups) || groups < 1 || divideDims(channels, groups) === null) {
      throw new Misfit(`${channels} channels do not divide into ${groups} groups`);
    }
    return { dtype: commonDType(inputs), shape: x.shape };
  },
  kind: "other",
  ahead: ({ axis, index }) => axis === 0 && index === 0 ? { axis } : null,
  evaluate: ([x, gain, bias], { groups, epsilon }) => {
    const parts = { shape: grouped(x.shape, groups) as readonly number[], data: x.data };
    const mean = (value: ReferenceTensor) =>
      AVERAGED.reduce((v, axis) => reduceValues(v, axis, meanOf), value);
    const centred = binary(parts, mean(parts), (v, m) => v - m);
    const variance = mean(mapValues(centred, (v) => v * v));
    const { data } = binary(centred, variance, (v, square) => v / Math.sqrt(square + epsilon));
    const bare = { shape: x.shape, data };
    return gain ? binary(binary(bare, gain, (v, s) => v * s), bias, (v, t) => v + t) : bare;
  },
  tensorrt: (net, inputs, attrs, node) => emitted(onTensorRt(net), inputs, { attrs, type: node.type }),
  onnx: (g, inputs, attrs, node) => emitted(onOnnx(g), inputs, { attrs, type: node.type }),
});

/** By primitives: the backends' own operators want the channels first. */
function emitted<V>(
  p: Primitives<V>,
  [x, gain, bias]: readonly [V, (V | undefined)?, (V | undefined)?],
  { attrs: { groups, epsilon }, type }: { attrs: GroupNormAttrs; type: TensorType },
): V {
  const bare = inFloat32(p, { x, type, parts: grouped(type.shape, groups) }, (wide) => {
    const centred = p.sub(wide, p.mean(wide, AVERAGED));
    const variance = p.mean(p.mul(centred, centred), AVERAGED);
    return p.div(centred, p.sqrt(p.add(variance, p.scalar(epsilon, 4))));
  });
  return gain === undefined || bias === undefined ? bare : p.add(p.mul(bare, gain), bias);
}

/** `[B, ..., C]` as `[B, tokens, groups, C / groups]`. */
function grouped(shape: Shape, groups: number): Shape {
  return [shape[0]!, sizeOf(shape.slice(1, -1)), groups, divideDims(shape.at(-1)!, groups)!];
}
