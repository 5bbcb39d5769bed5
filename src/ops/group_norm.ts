/**
 * Group normalization (Wu and He 2018) of channel-last tokens: statistics of each example at run time, over all its tokens
 * and one group of channels, as PyTorch's GroupNorm takes them of `[B, C, ...]`.
 */
import { divideDims, sameShape, type Shape, sizeOf } from "../ir/shape.ts";
import { commonDType, defineOp, lastDim, type ReferenceTensor } from "./define.ts";
import { Misfit } from "./operands.ts";
import type { NormAttrs } from "./layer_norm.ts";
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
  // By primitives: the backends' own operators want the channels first. Statistics in float32, as PyTorch's.
  tensorrt: (net, [x, gain, bias], { groups, epsilon }, node) => {
    const { dtype, shape } = node.type;
    const parts = grouped(shape, groups);
    const mean = (value: typeof wide) => net.reduce("avg", value, AVERAGED, true);
    const wide = net.reshape(dtype === "fp32" ? x : net.cast(x, "fp32"), shape, parts);
    const centred = net.elementwise("sub", wide, mean(wide));
    const variance = mean(net.elementwise("prod", centred, centred));
    const root = net.unary("sqrt", net.elementwise("sum", variance, net.scalar(epsilon, "fp32", 4)));
    const joined = net.reshape(net.elementwise("div", centred, root), parts, shape);
    const bare = dtype === "fp32" ? joined : net.cast(joined, dtype);
    return gain ? net.elementwise("sum", net.elementwise("prod", bare, gain), bias) : bare;
  },
  onnx: (g, [x, gain, bias], { groups, epsilon }, node) => {
    const { dtype, shape } = node.type;
    const parts = grouped(shape, groups);
    const mean = (value: string) => g.reduce("ReduceMean", value, AVERAGED, true);
    const wide = g.reshape(dtype === "fp32" ? x : g.cast(x, "fp32"), shape, parts);
    const centred = g.node("Sub", [wide, mean(wide)]);
    const variance = mean(g.node("Mul", [centred, centred]));
    const root = g.node("Sqrt", [g.node("Add", [variance, g.scalar(epsilon, "fp32")])]);
    const joined = g.reshape(g.node("Div", [centred, root]), parts, shape);
    const bare = dtype === "fp32" ? joined : g.cast(joined, dtype);
    return gain ? g.node("Add", [g.node("Mul", [bare, gain]), bias]) : bare;
  },
});

/** `[B, ..., C]` as `[B, tokens, groups, C / groups]`. */
function grouped(shape: Shape, groups: number): Shape {
  return [shape[0]!, sizeOf(shape.slice(1, -1)), groups, divideDims(shape.at(-1)!, groups)!];
}
