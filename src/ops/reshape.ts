/** The same elements under another shape. */
import { type Shape, showShape, sizeOf } from "../ir/shape.ts";
import { carryOne, type ChannelAffine, defineOp, type Refusal, shapeError } from "./define.ts";

export type ReshapeAttrs = { readonly shape: Shape };

export const reshape = defineOp({
  name: "reshape",
  doc: "the same elements, row-major, under another shape",
  infer: (inputs, { shape }: ReshapeAttrs) => {
    if (sizeOf(inputs[0]!.shape) !== sizeOf(shape)) {
      const hint = shape.some((dim) => typeof dim === "string")
        ? "; take sizes that stay open from x.type.shape"
        : "";
      throw shapeError("reshape", `${showShape(shape)} does not hold as many elements${hint}`, inputs);
    }
    return { dtype: inputs[0]!.dtype, shape };
  },
  // The reference binds open sizes from the value, so its target shape comes in bound.
  evaluate: ([x], { shape }) => ({ shape: shape as readonly number[], data: x!.data }),
  tensorrt: (net, [x], { shape }, node) => net.reshape(x!, node.inputs[0]!.type.shape, shape),
  onnx: (g, [x], { shape }, node) => g.reshape(x!, node.inputs[0]!.type.shape, shape),
  carry: carryOne((affine, node) => moved(affine, node.inputs[0]!.type.shape, node.type.shape)),
  narrow: (part, node) => {
    const { shape } = node.type;
    const at = keptAxis(part.axis, shape, node.inputs[0]!.type.shape);
    if (at === null) return null;
    return {
      inputs: new Map([[0, { ...part, axis: at }]]),
      attrs: { shape: shape.map((dim, i) => i === part.axis ? part.size : dim) },
    };
  },
  give: (affine, node) => {
    const before = moved(affine, node.type.shape, node.inputs[0]!.type.shape);
    return "refused" in before ? before : { inputs: new Map([[0, before]]) };
  },
});

/** An affine on the axis that a reshape keeps whole. */
function moved({ axis, ...affine }: ChannelAffine, from: Shape, to: Shape): ChannelAffine | Refusal {
  const kept = keptAxis(axis, from, to);
  return kept === null
    ? { refused: `it breaks up the channel axis: ${showShape(from)} to ${showShape(to)}` }
    : { axis: kept, ...affine };
}

/** Where an axis is behind a reshape that neither splits nor joins it; null where it does. */
function keptAxis(axis: number, from: Shape, to: Shape): number | null {
  const before = sizeOf(from.slice(0, axis));
  const kept = to.findIndex((dim, i) => dim === from[axis] && sizeOf(to.slice(0, i)) === before);
  return kept < 0 ? null : kept;
}
