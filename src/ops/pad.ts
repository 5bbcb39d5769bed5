/**
 * A number set around a tensor: windows that do not fill an image, padding that a pool counts. Other ways to
 * pad (reflected, repeated) are a `gather` along each axis.
 */
import { elementCount } from "../ir/data.ts";
import { addDims } from "../ir/shape.ts";
import { type ChannelAffine, defineOp, type OpNode, type Refusal } from "./define.ts";
import { Misfit } from "./operands.ts";
import { stridesOf } from "./reference.ts";

export type PadAttrs = {
  /** Elements in front of each axis, and behind it. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly value: number;
};

export const pad = defineOp({
  name: "pad",
  doc: "x with `value` in front of and behind its axes",
  operands: ["x"],
  infer: ([x], { before, after }: PadAttrs) => {
    const isCount = (count: number) => Number.isInteger(count) && count >= 0;
    if ([before, after].some((counts) => counts.length !== x.shape.length || !counts.every(isCount))) {
      throw new Misfit("before and after must be whole numbers from 0, one for each axis");
    }
    return { dtype: x.dtype, shape: x.shape.map((dim, i) => addDims(dim, before[i]! + after[i]!)) };
  },
  kind: "other",
  ahead: ({ axis }, { attrs: { before, after } }) =>
    before[axis] === 0 && after[axis] === 0 ? { axis } : null,
  carry: ([affine], node) => refusal(affine!, node) ?? { affine: affine! },
  give: (affine, node) => refusal(affine, node) ?? { inputs: new Map([[0, affine]]) },
  evaluate: ([x], { before, after, value }) => {
    const shape = x.shape.map((size, i) => size + before[i]! + after[i]!);
    const data = new Float64Array(elementCount(shape)).fill(value);
    const [from, to] = [stridesOf(x.shape), stridesOf(shape)];
    x.data.forEach((element, i) => {
      const place = to.reduce(
        (sum, stride, axis) => sum + stride * (before[axis]! + Math.floor(i / from[axis]!) % x.shape[axis]!),
        0,
      );
      data[place] = element;
    });
    return { shape, data };
  },
  tensorrt: (net, [x], { before, value }, { type }) => net.pad(x, { before, type, value }),
  onnx: (g, [x], { before, after, value }, { type }) =>
    g.node("Pad", [x, g.int64([...before, ...after]), g.scalar(value, type.dtype)]),
});

/** What is set there has to be what the affine makes of it. */
function refusal(
  { axis, scale, shift, centred }: ChannelAffine,
  { attrs: { before, after, value } }: OpNode<"pad", PadAttrs, readonly ["x"]>,
): Refusal | null {
  if (before[axis] !== 0 || after[axis] !== 0) return { refused: "it sets numbers beside the channels" };
  const isKept = centred ? false : scale.every((s, c) => s * value + shift[c]! === value);
  return isKept ? null : {
    refused: `it sets ${value} around, which the normalization ${
      shift.some((t) => t !== 0) ? "and its shift " : ""
    }would turn into something else`,
  };
}
