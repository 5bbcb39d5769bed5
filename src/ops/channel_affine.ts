/**
 * An offline normalization at inference (equation 1 of the Unified Normalization paper with its statistics
 * fixed): one scale and one shift per channel. This is what the fold removes.
 */
import { float64Of, heldData } from "../ir/data.ts";
import { axisIn, type Shape } from "../ir/shape.ts";
import type { Node } from "../ir/graph.ts";
import { dataOf } from "./constant.ts";
import {
  type Absorbed,
  type ChannelAffine,
  commonDType,
  type Constant,
  defineOp,
  type NormId,
  type OpNode,
} from "./define.ts";
import { Misfit } from "./operands.ts";
import { onOnnx, onTensorRt, type Primitives } from "./primitives.ts";
import { alongAxis, binary } from "./reference.ts";

export type ChannelAffineAttrs = {
  readonly axis: number;
  readonly norm: NormId;
  /** The normalization family it is the inference form of: "un", "bn". */
  readonly family: string;
  /** Whether the mean of x over `axis` is subtracted first. */
  readonly centred?: boolean;
};

const OPERANDS = ["x", "scale", "shift"] as const;

type AffineNode = OpNode<"channel_affine", ChannelAffineAttrs, typeof OPERANDS>;

export const channelAffine = defineOp({
  name: "channel_affine",
  doc: "s x + t, with s and t [C] along `axis`; s (x - mean x) + t where centred",
  operands: OPERANDS,
  infer: (inputs, { axis }: ChannelAffineAttrs) => {
    const [x, scale, shift] = inputs;
    const channels = x.shape[axisIn(axis, x.shape.length, "channel_affine")];
    if ([scale, shift].some(({ shape }) => shape.length !== 1 || shape[0] !== channels)) {
      throw new Misfit(`scale and shift must be [${channels}]`);
    }
    return { dtype: commonDType(inputs), shape: x.shape };
  },
  kind: "other",
  ahead: ({ axis, index }, node) => index === 0 && axis !== affineAxis(node) ? { axis } : null,
  evaluate: ([x, scale, shift], { axis, centred }) => {
    const shape = vectorShape(x.shape, axis) as readonly number[];
    const from = centred ? alongAxis(x, axisIn(axis, x.shape.length, "channel_affine"), lessMean) : x;
    const scaled = binary(from, { shape, data: scale.data }, (a, s) => a * s);
    return binary(scaled, { shape, data: shift.data }, (a, t) => a + t);
  },
  tensorrt: (net, inputs, _, node) => emitted(onTensorRt(net), inputs, node),
  onnx: (g, inputs, _, node) => emitted(onOnnx(g), inputs, node),
  // s2 (s1 x + t1) + t2 = (s2 s1) x + (s2 t1 + t2)
  absorb: (first, { node, index }) => {
    const second = affineOf(node);
    if (index !== 0 || second === null) return { refused: "its scale and shift are computed at run time" };
    if (second.axis !== first.axis) {
      return { refused: `it scales axis ${second.axis}, not axis ${first.axis}` };
    }
    if (first.centred || second.centred) return { refused: "one of the two subtracts the mean" };
    return replaceVectors(node, {
      scale: second.scale.map((s, c) => s * first.scale[c]!),
      shift: second.shift.map((t, c) => t + second.scale[c]! * first.shift[c]!),
    });
  },
  // s2 (s1 x + t1) + t2 again, the second being what is wanted of the result.
  give: (second, node) => {
    const first = affineOf(node);
    if (first === null || first.axis !== second.axis || second.centred) {
      return { refused: "its scale and shift are not of those channels" };
    }
    return replaceVectors(node, {
      scale: first.scale.map((s, c) => s * second.scale[c]!),
      shift: first.shift.map((t, c) => second.scale[c]! * t + second.shift[c]!),
    });
  },
});

function emitted<V>(p: Primitives<V>, [x, scale, shift]: readonly [V, V, V], node: AffineNode): V {
  const { axis, centred } = node.attrs;
  const shape = vectorShape(node.type.shape, axis);
  const along = (vector: V) => p.reshape(vector, shape.slice(0, 1), shape);
  const [s, t] = [along(scale), along(shift)];
  return p.add(p.mul(centred ? p.sub(x, p.mean(x, [axis])) : x, s), t);
}

function replaceVectors(
  { name, inputs: [, scale, shift] }: AffineNode,
  vectors: { scale: Float64Array; shift: Float64Array },
): Absorbed {
  const held = (values: Float64Array, { type }: Node): Constant => ({
    data: heldData([values.length], values, name),
    type,
  });
  return { constants: new Map([[1, held(vectors.scale, scale)], [2, held(vectors.shift, shift)]]) };
}

const lessMean = (run: Float64Array) => {
  const mean = run.reduce((a, b) => a + b, 0) / run.length;
  return run.map((value) => value - mean);
};

const affineAxis = ({ attrs, type }: AffineNode) => axisIn(attrs.axis, type.shape.length, "channel_affine");

/** The affine a `channel_affine` node applies, in float64; null where it is not constant. */
export function affineOf(node: Node): ChannelAffine | null {
  const { attrs: { centred = false }, inputs: [, scale, shift] } = node as AffineNode;
  if (scale.op !== "constant" || shift.op !== "constant") return null;
  return {
    axis: affineAxis(node as AffineNode),
    scale: float64Of(dataOf(scale)),
    shift: float64Of(dataOf(shift)),
    ...(centred && { centred }),
  };
}

/** `[C]` seen along `axis` of a shape: `[C, 1, 1]`, without leading ones. */
function vectorShape(shape: Shape, axis: number): Shape {
  const at = axisIn(axis, shape.length, "channel_affine");
  return shape.slice(at).map((dim, i) => i === 0 ? dim : 1);
}
