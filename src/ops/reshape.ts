/** The same elements under another shape. */
import { divideDims, multiplyDims, type Shape, showShape, sizeOf } from "../ir/shape.ts";
import { defineOp, type Track } from "./define.ts";
import { Misfit } from "./operands.ts";

export type ReshapeAttrs = { readonly shape: Shape };

export const reshape = defineOp({
  name: "reshape",
  doc: "the same elements, row-major, under another shape",
  operands: ["x"],
  infer: (inputs, { shape }: ReshapeAttrs) => {
    if (sizeOf(inputs[0].shape) !== sizeOf(shape)) {
      const hint = shape.some((dim) => typeof dim === "string")
        ? "; take sizes that stay open from x.type.shape"
        : "";
      throw new Misfit(`${showShape(shape)} does not hold as many elements${hint}`);
    }
    return { dtype: inputs[0].dtype, shape };
  },
  kind: "move",
  breaks: ({ inputs: [x], type }) =>
    `it breaks up the channel axis: ${showShape(x.type.shape)} to ${showShape(type.shape)}`,
  ahead: ({ axis }, { inputs: [x], type }) => axisBehind(axis, x.type.shape, type.shape),
  // The reference binds open sizes from the value, so its target shape comes in bound.
  evaluate: ([x], { shape }) => ({ shape: shape as readonly number[], data: x.data }),
  tensorrt: (net, [x], { shape }, node) => net.reshape(x, node.inputs[0].type.shape, shape),
  onnx: (g, [x], { shape }, node) => g.reshape(x, node.inputs[0].type.shape, shape),
});

/**
 * Where an axis is behind a reshape that keeps it whole, or joins rows of it into one axis; null where it is
 * broken up, or where a size of the joined axis is open.
 */
function axisBehind(axis: number, from: Shape, to: Shape): Track | null {
  const [before, after] = [sizeOf(from.slice(0, axis)), sizeOf(from.slice(axis + 1))];
  const tracks = to.flatMap((dim, at): Track[] => {
    const outer = divideDims(before, sizeOf(to.slice(0, at)));
    const inner = divideDims(after, sizeOf(to.slice(at + 1)));
    if (outer === 1 && dim === from[axis]) return [{ axis: at }];
    const isJoined = typeof outer === "number" && typeof inner === "number" && typeof dim === "number" &&
      dim === multiplyDims(outer * inner, from[axis]!);
    return isJoined ? [{ axis: at, elements: { outer, inner } }] : [];
  });
  return tracks.find(({ elements }) => elements === undefined) ?? tracks[0] ?? null;
}
