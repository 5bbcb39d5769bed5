/** Nodes in another shape, itself where they have it: a rule makes no move that moves nothing. */
import type { Node } from "../ir/graph.ts";
import { sameShape, type Shape } from "../ir/shape.ts";
import { apply } from "../ops/table.ts";

export function reshaped(x: Node, shape: Shape, name = x.name): Node {
  return sameShape(x.type.shape, shape) ? x : apply("reshape", [x], { attrs: { shape }, name });
}

/** Repeated along axes of size 1. */
export function expanded(x: Node, shape: Shape, name = x.name): Node {
  return sameShape(x.type.shape, shape) ? x : apply("expand", [x], { attrs: { shape }, name });
}
