/**
 * An offline normalization at inference (equation 1 of the Unified Normalization paper with its statistics fixed): one
 * scale and one shift per channel. This is what the fold removes.
 */
import { float64Of, heldData } from "../ir/data.ts";
import { axisIn, type Shape } from "../ir/shape.ts";
import type { Node } from "../ir/graph.ts";
import { dataOf } from "./constant.ts";
import { type ChannelAffine, commonDType, defineOp, shapeError } from "./define.ts";
import { binary } from "./reference.ts";

export type ChannelAffineAttrs = {
  readonly axis: number;
  /** The normalization family it is the inference form of: "un", "bn". */
  readonly family: string;
};

export const channelAffine = defineOp({
  name: "channel_affine",
  doc: "s x + t, with s and t [C] along `axis`",
  infer: (inputs, { axis }: ChannelAffineAttrs) => {
    const [x, scale, shift] = inputs;
    const channels = x!.shape[axisIn(axis, x!.shape.length, "channel_affine")];
    if ([scale!, shift!].some(({ shape }) => shape.length !== 1 || shape[0] !== channels)) {
      throw shapeError("channel_affine", `scale and shift must be [${channels}]`, inputs);
    }
    return { dtype: commonDType("channel_affine", inputs), shape: x!.shape };
  },
  evaluate: ([x, scale, shift], { axis }) => {
    const shape = vectorShape(x!.shape, axis) as readonly number[];
    const scaled = binary(x!, { shape, data: scale!.data }, (a, s) => a * s);
    return binary(scaled, { shape, data: shift!.data }, (a, t) => a + t);
  },
  tensorrt: (net, [x, scale, shift], { axis }, node) => {
    const shape = vectorShape(node.type.shape, axis);
    const [s, t] = [scale!, shift!].map((vector, i) =>
      net.reshape(vector, node.inputs[i + 1]!.type.shape, shape)
    );
    return net.elementwise("sum", net.elementwise("prod", x!, s!), t!);
  },
  onnx: (g, [x, scale, shift], { axis }, node) => {
    const shape = vectorShape(node.type.shape, axis);
    const [s, t] = [scale!, shift!].map((vector, i) =>
      g.reshape(vector, node.inputs[i + 1]!.type.shape, shape)
    );
    return g.node("Add", [g.node("Mul", [x!, s!]), t!]);
  },
  // s2 (s1 x + t1) + t2 = (s2 s1) x + (s2 t1 + t2)
  absorb: (first, { node, index }) => {
    const second = affineOf(node);
    if (index !== 0 || second === null) return { refused: "its scale and shift are computed at run time" };
    if (second.axis !== first.axis) {
      return { refused: `it scales axis ${second.axis}, not axis ${first.axis}` };
    }
    const scale = second.scale.map((s, c) => s * first.scale[c]!);
    const shift = second.shift.map((t, c) => t + second.scale[c]! * first.shift[c]!);
    const held = (values: Float64Array, index: number) => ({
      data: heldData([values.length], values, node.name),
      type: node.inputs[index]!.type,
    });
    return { constants: new Map([[1, held(scale, 1)], [2, held(shift, 2)]]) };
  },
});

/** The affine a `channel_affine` node applies, in float64; null where it is not constant. */
export function affineOf(node: Node): ChannelAffine | null {
  const [x, scale, shift] = node.inputs;
  if (scale!.op !== "constant" || shift!.op !== "constant") return null;
  const values = (constant: Node) => float64Of(dataOf(constant));
  const axis = axisIn((node.attrs as ChannelAffineAttrs).axis, x!.type.shape.length, "channel_affine");
  return { axis, scale: values(scale!), shift: values(shift!) };
}

/** `[C]` seen along `axis` of a shape: `[C, 1, 1]`, without leading ones. */
function vectorShape(shape: Shape, axis: number): Shape {
  const at = axisIn(axis, shape.length, "channel_affine");
  return shape.slice(at).map((dim, i) => i === 0 ? dim : 1);
}
