/** Repetition along axes of size 1: a class token for every image of a batch. */
import { broadcastShapes, sameShape, type Shape, showShape } from "../ir/shape.ts";
import type { Node } from "../ir/graph.ts";
import { carryOne, type ChannelAffine, defineOp, type Refusal, shapeError } from "./define.ts";
import { broadcastTo } from "./reference.ts";

export type ExpandAttrs = { readonly shape: Shape };

export const expand = defineOp({
  name: "expand",
  doc: "x repeated along its axes of size 1 until it has `shape`",
  infer: (inputs, { shape }: ExpandAttrs) => {
    const { dtype, shape: from } = inputs[0]!;
    const result = broadcastShapes(from, shape);
    if (from.length !== shape.length || result === null || !sameShape(result, shape)) {
      throw shapeError("expand", `it does not repeat to ${showShape(shape)}`, inputs);
    }
    return { dtype, shape };
  },
  evaluate: ([x], { shape }) => {
    const target = shape as readonly number[];
    return { shape: target, data: broadcastTo(x!, target) };
  },
  tensorrt: (net, [x], { shape }, node) => net.expand(x!, node.inputs[0]!.type.shape, shape),
  onnx: (g, [x], { shape }) => g.node("Expand", [x!, g.shape(shape)]),
  narrow: (part, node) => {
    const [from, to] = [node.inputs[0]!.type.shape, node.type.shape];
    return {
      inputs: from[part.axis] === to[part.axis] ? new Map([[0, part]]) : new Map(),
      attrs: { shape: to.map((dim, i) => i === part.axis ? part.size : dim) },
    };
  },
  carry: carryOne(kept),
  give: (affine, node) => {
    const before = kept(affine, node);
    return "refused" in before ? before : { inputs: new Map([[0, before]]) };
  },
});

function kept(affine: ChannelAffine, node: Node): ChannelAffine | Refusal {
  const [from, to] = [node.inputs[0]!.type.shape, node.type.shape];
  return from[affine.axis] === to[affine.axis] ? affine : { refused: "it repeats along the channel axis" };
}
