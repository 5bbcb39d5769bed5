/**
 * `scaleQueries`: an attention's factor on its logits goes into the product that makes the queries,
 *
 *     softmax(a (W x + b) k^T) = softmax(((a W) x + a b) k^T)
 *
 * The factor is rounded once, with whatever else folds into that weight; where `1 / a` is a power of two, as
 * for heads of 64 channels, nothing is rounded. It looks at who else reads the product, hence a pass.
 */
import { heldData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { apply, isOp, rebuild } from "../../ops/table.ts";
import { foldIntoOutputs } from "../../weights/derived/fold.ts";
import { constantsOf, withConstants } from "../tidy/constants.ts";
import { attentionsIn } from "./anatomy.ts";

/** @returns the graph, and how many attentions have a factor of one now */
export function scaleQueries(graph: Graph): { graph: Graph; scaled: number } {
  const scales = new Map<Node, Float64Array>();
  const done = new Set<Node>();
  for (const { node, q: { rows, isOnlyReader } } of attentionsIn(usesOf(graph))) {
    if (rows === null || !isOnlyReader || node.attrs.scale === 1) continue;
    const { product, start, size } = rows;
    const scale = scales.get(product) ?? new Float64Array(product.type.shape.at(-1) as number).fill(1);
    scales.set(product, scale.fill(node.attrs.scale, start, start + size));
    done.add(node);
  }
  const result = mapGraph(graph, (node, inputs) => {
    if (isOp(node, "attention") && done.has(node)) {
      return apply("attention", inputs, { attrs: { ...node.attrs, scale: 1 }, name: node.name });
    }
    const scale = scales.get(node);
    if (scale === undefined) return rebuild(node, inputs);
    const { weight, bias } = constantsOf(node);
    const folded = foldIntoOutputs(weight, bias, { scale });
    return withConstants(node, inputs[0]!, { ...folded, bias: bias && folded.bias });
  }, (node) => {
    const scale = scales.get(node)?.map((s) => 1 / s);
    const axes = [node.type.shape.length - 1];
    return scale && [{ kind: "affine", axes, scale: heldData([scale.length], scale, node.name) }];
  });
  return { graph: result, scaled: done.size };
}
