/**
 * `scaleQueries`: an attention's factor on its logits goes into the product that makes the queries,
 *
 *     softmax(a (W x + b) k^T) = softmax(((a W) x + a b) k^T)
 *
 * Folded with whatever else that weight takes in, and rounded once with it; where `1 / a` is a power of two, as for heads of
 * 64 channels, nothing is rounded at all. It looks at who else reads the product, hence a pass.
 */
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { foldIntoOutputs } from "../../ops/fold.ts";
import { apply, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { sourceOf } from "./attention_bias.ts";

/** @returns the graph, and how many attentions have a factor of one now */
export function scaleQueries(graph: Graph): { graph: Graph; scaled: number } {
  const uses = usesOf(graph);
  const scales = new Map<Node, Float64Array>();
  const done = new Set<Node>();
  for (const node of uses.keys()) {
    if (!isOp(node, "attention") || node.attrs.scale === 1) continue;
    const source = sourceOf(node, 0, uses);
    if (source === null) continue;
    const { linear, start, size } = source;
    const scale = scales.get(linear) ?? new Float64Array(linear.type.shape.at(-1) as number).fill(1);
    scales.set(linear, scale.fill(node.attrs.scale, start, start + size));
    done.add(node);
  }
  const result = mapGraph(graph, (node, inputs) => {
    if (isOp(node, "attention") && done.has(node)) {
      return apply("attention", inputs, { attrs: { ...node.attrs, scale: 1 }, name: node.name });
    }
    const scale = scales.get(node);
    return scale === undefined ? rebuild(node, inputs) : withOutputsScaled(node, inputs, scale);
  });
  return { graph: result, scaled: done.size };
}

function withOutputsScaled(linear: Node, [x, weight, bias]: readonly Node[], scale: Float64Array): Node {
  const { dtype } = weight!.type;
  const data = bias === undefined ? null : dataOf(bias);
  const folded = foldIntoOutputs(dataOf(weight!), data, {
    dtype,
    scale,
    shift: new Float64Array(scale.length),
  });
  const constants = [constantNode(folded.weight, { dtype, name: weight!.name })];
  if (bias !== undefined) {
    constants.push(constantNode(folded.bias, { dtype: bias.type.dtype, name: bias.name }));
  }
  return apply("linear", [x!, ...constants], { attrs: {}, name: linear.name });
}
