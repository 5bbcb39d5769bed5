/** Repetition along axes of size 1: a class token for every image of a batch. */
import { broadcastShapes, sameShape, type Shape, showShape } from "../ir/shape.ts";
import { defineOp, everyAxis } from "./define.ts";
import { Misfit } from "./operands.ts";
import { broadcastTo } from "./reference.ts";

export type ExpandAttrs = { readonly shape: Shape };

export const expand = defineOp({
  name: "expand",
  doc: "x repeated along its axes of size 1 until it has `shape`",
  operands: ["x"],
  infer: (inputs, { shape }: ExpandAttrs) => {
    const { dtype, shape: from } = inputs[0];
    const result = broadcastShapes(from, shape);
    if (from.length !== shape.length || result === null || !sameShape(result, shape)) {
      throw new Misfit(`it does not repeat to ${showShape(shape)}`);
    }
    return { dtype, shape };
  },
  kind: "move",
  breaks: () => "it repeats along the channel axis",
  ahead: everyAxis,
  evaluate: ([x], { shape }) => {
    const target = shape as readonly number[];
    return { shape: target, data: broadcastTo(x, target) };
  },
  tensorrt: (net, [x], { shape }, node) => net.expand(x, node.inputs[0].type.shape, shape),
  onnx: (g, [x], { shape }) => g.node("Expand", [x, g.shape(shape)]),
  narrow: ({ axis, size }, node) => ({
    inputs: new Map(),
    attrs: { shape: node.type.shape.map((dim, i) => i === axis ? size : dim) },
  }),
});
