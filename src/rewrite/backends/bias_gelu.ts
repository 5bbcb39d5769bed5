/**
 * `biasGelu`: the bias of a product that only a GELU reads moves into the GELU,
 *
 *     gelu(linear(x; W, b)) = bias_gelu(linear(x; W), b)
 *
 * It looks at who else reads the product, hence a pass.
 */
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, isOp, rebuild } from "../../ops/table.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** @returns the graph, and how many biases moved */
export function biasGelu(graph: Graph): { graph: Graph; moved: number } {
  const biases = new Map<Node, Node>();
  for (const [product, [use, ...others]] of usesOf(graph)) {
    const bias = isConstantLinear(product) ? product.inputs[2] : undefined;
    const isForGelu = use !== undefined && "user" in use && isOp(use.user, "gelu") && others.length === 0;
    if (bias !== undefined && isForGelu) biases.set(product, bias);
  }
  const result = mapGraph(graph, (node, inputs) => {
    if (biases.has(node)) return apply("linear", inputs.slice(0, 2), { attrs: {}, name: node.name });
    const bias = biases.get(node.inputs[0]!);
    if (bias === undefined || !isOp(node, "gelu")) return rebuild(node, inputs);
    return apply("bias_gelu", [inputs[0]!, bias], { attrs: node.attrs, name: node.name });
  }, (node) => {
    const bias = biases.get(node);
    return bias && [{ kind: "affine", axes: [node.type.shape.length - 1], shift: dataOf(bias) }];
  });
  return { graph: result, moved: biases.size };
}
