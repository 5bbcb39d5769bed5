/**
 * `biasGelu`: the bias of a product that only a GELU reads moves into the GELU,
 *
 *     gelu(linear(x; W, b)) = bias_gelu(linear(x; W), b)
 *
 * It looks at who else reads the product, hence a pass.
 */
import { type Graph, mapGraph, usesOf } from "../../ir/graph.ts";
import { apply, isOp, rebuild } from "../../ops/table.ts";

/** @returns the graph, and how many biases moved */
export function biasGelu(graph: Graph): { graph: Graph; moved: number } {
  const uses = usesOf(graph);
  let moved = 0;
  const result = mapGraph(graph, (node, inputs) => {
    const [before] = node.inputs;
    const [product] = inputs;
    if (!isOp(node, "gelu") || !isOp(product!, "linear") || uses.get(before!)!.length > 1) {
      return rebuild(node, inputs);
    }
    const [x, weight, bias] = product.inputs;
    if (bias === undefined) return rebuild(node, inputs);
    moved++;
    const bare = apply("linear", [x!, weight!], { attrs: {}, name: product.name });
    return apply("bias_gelu", [bare, bias], { attrs: node.attrs, name: node.name });
  });
  return { graph: result, moved };
}
