/**
 * `averageEarly`: a mean over tokens is taken in front of the last product instead of behind it,
 *
 *     mean(x + W h + b) = mean(x) + W mean(h) + b
 *
 * Where a network's head reads the mean of its tokens, that product is then computed once instead of once for
 * each token: a gain of an offline normalization, since an online one in front of the mean looks at each
 * token and lets no mean pass. It looks at who else reads the product, hence a pass.
 */
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { axisIn } from "../../ir/shape.ts";
import type { ReduceAttrs } from "../../ops/reduce.ts";
import { apply, isOp, rebuild } from "../../ops/table.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** @returns the graph, and how many products are computed of a mean */
export function averageEarly(graph: Graph): { graph: Graph; moved: number } {
  const uses = usesOf(graph);
  const isRead = (node: Node) => uses.get(node)!.length > 1;
  let moved = 0;

  /** Whether a tensor's mean costs less than the tensor: it is, or adds, a product only the mean reads. */
  const pays = (node: Node, axes: readonly number[]): boolean => {
    if (isRead(node)) return false;
    if (isConstantLinear(node)) return !axes.includes(node.type.shape.length - 1);
    return isSum(node) && node.inputs.some((input) => pays(input, axes));
  };
  /** The mean of a tensor as it stands in the new graph, from the old one's node. */
  const mean = (node: Node, rebuilt: Node, attrs: MeanAttrs): Node => {
    if (!pays(node, attrs.axes)) return apply("reduce_mean", [rebuilt], { attrs, name: attrs.name });
    const meanOf = (input: Node, i: number) => mean(input, rebuilt.inputs[i]!, attrs);
    if (isSum(node)) return rebuild(node, node.inputs.map(meanOf));
    moved++;
    return rebuild(node, [meanOf(node.inputs[0]!, 0), ...rebuilt.inputs.slice(1)]);
  };

  const result = mapGraph(graph, (node, inputs) => {
    if (!isOp(node, "reduce_mean")) return rebuild(node, inputs);
    const [x] = node.inputs as [Node];
    const { axes, keepDims } = node.attrs as ReduceAttrs;
    const rank = x.type.shape.length;
    const attrs = { axes: axes.map((axis) => axisIn(axis, rank, "reduce_mean")), keepDims, name: node.name };
    return pays(x, attrs.axes) ? mean(x, inputs[0]!, attrs) : rebuild(node, inputs);
  });
  return { graph: result, moved };
}

interface MeanAttrs extends ReduceAttrs {
  readonly name: string;
}

/** Whether a node adds two tensors element by element, neither of them repeated. */
function isSum(node: Node): boolean {
  return isOp(node, "add") && node.inputs.every(({ type }) => type.shape.join() === node.type.shape.join());
}
