/**
 * `splitProducts`: a product whose outputs are only ever taken apart becomes one product for each part,
 *
 *     slice_i(linear(x; [W1; W2; W3])) = linear(x; W_i)
 *
 * `mergeQkv` the other way round. TensorRT merges products over one tensor itself, where they have no bias, and then needs
 * no kernel to take them apart.
 */
import { rowsOfData } from "../ir/arranged.ts";
import { type Graph, mapGraph, type Node, type Use, usesOf } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import { apply, constantNode, isOp, rebuild } from "../ops/mod.ts";
import { isConstantLinear } from "./constants.ts";

export interface SplitOptions {
  /** Whether products with a bias are split, too. */
  readonly withBias: boolean;
}

/** @returns the graph, and how many products were taken apart */
export function splitProducts(graph: Graph, { withBias }: SplitOptions): { graph: Graph; split: number } {
  const uses = usesOf(graph);
  const whole = new Set<Node>();
  for (const node of uses.keys()) {
    if (!isConstantLinear(node) || (!withBias && node.inputs.length > 2)) continue;
    const parts = uses.get(node)!;
    if (parts.length > 1 && parts.every((use) => isPart(use, node))) whole.add(node);
  }
  const result = mapGraph(graph, (node, inputs) => {
    const product = node.inputs[0];
    if (!isOp(node, "slice") || product === undefined || !whole.has(product)) return rebuild(node, inputs);
    const { start, size } = node.attrs as { start: number; size: number };
    const constants = product.inputs.slice(1).map((constant) =>
      constantNode(rowsOfData(dataOf(constant), { start, size }), {
        dtype: constant.type.dtype,
        name: `${constant.name}[${start}:${start + size}]`,
      })
    );
    // The rebuilt product is left without users; its input is what the parts read.
    return apply("linear", [inputs[0]!.inputs[0]!, ...constants], {
      attrs: {},
      name: node.name,
    });
  });
  return { graph: result, split: whole.size };
}

/** Whether a use takes neighbouring outputs of a product. */
function isPart(use: Use, product: Node): boolean {
  if (!("user" in use) || !isOp(use.user, "slice")) return false;
  const { axis, size, step } = use.user.attrs;
  return step === 1 && typeof size === "number" && (axis === -1 || axis === product.type.shape.length - 1);
}
