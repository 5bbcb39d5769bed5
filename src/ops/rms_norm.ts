/**
 * Root-mean-square normalization over the last axis (Zhang and Sennrich 2019), and its two relatives: over
 * groups of channels (the GroupScaling of PowerNorm, Shen et al. 2020), and over channels of which the last
 * is left out because all of them sum to zero (CRMSNorm, Jiang et al. 2023).
 */
import type { TensorType } from "../ir/graph.ts";
import { divideDims, sameShape, type Shape } from "../ir/shape.ts";
import { commonDType, defineOp, everyRow, lastDim } from "./define.ts";
import { Misfit } from "./operands.ts";
import type { NormAttrs } from "./layer_norm.ts";
import { inFloat32, onOnnx, onTensorRt, type Primitives } from "./primitives.ts";
import { alongAxis } from "./reference.ts";

export type RmsNormAttrs = NormAttrs & {
  /** Contiguous groups of channels with a mean square of their own; 1 where left out. */
  readonly groups?: number;
  /** The channels are all but the last of those meant; the last is minus their sum. Not with groups. */
  readonly compressed?: boolean;
  /** Whether the channels are known to sum to zero: what `compressed` may be made of. */
  readonly centred?: boolean;
};

export const rmsNorm = defineOp({
  name: "rms_norm",
  doc: "g x / sqrt(mean(x^2) + eps) over the last axis, or each of `groups` of it; " +
    "compressed: mean(x^2) = (sum(x^2) + sum(x)^2) / (C + 1)",
  operands: ["x", ["gain"]],
  infer: (inputs, { groups = 1, compressed = false }: RmsNormAttrs) => {
    const [x, gain] = inputs;
    const channels = lastDim(x);
    if (gain && !sameShape(gain.shape, [channels])) throw new Misfit("x [..., C] needs a gain [C], or none");
    if (!Number.isInteger(groups) || groups < 1 || divideDims(channels, groups) === null) {
      throw new Misfit(`${channels} channels do not divide into ${groups} groups`);
    }
    if (compressed && (groups !== 1 || typeof channels !== "number")) {
      throw new Misfit("compressed, it takes a fixed number of channels in one group");
    }
    return { dtype: commonDType(inputs), shape: x.shape };
  },
  kind: "other",
  ahead: everyRow,
  evaluate: ([x, gain], { epsilon, groups = 1, compressed = false }) => {
    const parts = splitLast(x.shape, groups) as readonly number[];
    const { data } = alongAxis({ shape: parts, data: x.data }, parts.length - 1, (run) => {
      const total = run.reduce((sum, v) => sum + v * v, 0);
      const square = compressed
        ? (total + run.reduce((sum, v) => sum + v, 0) ** 2) / (run.length + 1)
        : total / run.length;
      return run.map((v) => v / Math.sqrt(square + epsilon));
    });
    const channels = x.shape.at(-1)!;
    return { shape: x.shape, data: gain ? data.map((v, i) => gain.data[i % channels]! * v) : data };
  },
  tensorrt: (net, inputs, attrs, node) => emitted(onTensorRt(net), inputs, { attrs, type: node.type }),
  onnx: (g, inputs, attrs, node) => emitted(onOnnx(g), inputs, { attrs, type: node.type }),
});

/** Neither backend's opset has it as one operator everywhere. */
function emitted<V>(
  p: Primitives<V>,
  [x, gain]: readonly [V, (V | undefined)?],
  { attrs: { epsilon, groups = 1, compressed = false }, type }: { attrs: RmsNormAttrs; type: TensorType },
): V {
  const parts = splitLast(type.shape, groups);
  const scalar = (value: number) => p.scalar(value, parts.length);
  const squareOf = (wide: V) => {
    const squares = p.mul(wide, wide);
    if (!compressed) return p.mean(squares, [-1]);
    const sum = p.sum(wide, [-1]);
    const total = p.add(p.sum(squares, [-1]), p.mul(sum, sum));
    return p.mul(total, scalar(1 / (parts.at(-1) as number + 1)));
  };
  const bare = inFloat32(
    p,
    { x, type, parts },
    (wide) => p.div(wide, p.sqrt(p.add(squareOf(wide), scalar(epsilon)))),
  );
  return gain === undefined ? bare : p.mul(bare, gain);
}

/** `[..., C]` as `[..., groups, C / groups]`; itself where there is one group. */
function splitLast(shape: Shape, groups: number): Shape {
  return groups === 1 ? shape : [...shape.slice(0, -1), groups, divideDims(shape.at(-1)!, groups)!];
}
