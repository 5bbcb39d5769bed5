/**
 * The text of a graph, for people, golden files and traces: one line a node, inputs by name, constants only
 * as operands. Stable: the same graph prints the same text.
 */
import { type Graph, type Node, topological, uniqueNames } from "./graph.ts";
import { showShape } from "./shape.ts";

/**
 * ```
 * digits(image: fp32[B, 1, 8, 8]) -> logits: fp32[B, 10]
 *   patch_embed.proj = conv(image, patch_embed.proj.weight[64, 1, 2, 2], ...) {...} : fp32[B, 64, 4, 4]
 * ```
 */
export function printGraph(graph: Graph): string {
  const names = uniqueNames(graph);
  const typed = (node: Node) => `${node.type.dtype}${showShape(node.type.shape)}`;
  const inputs = graph.inputs.map((node) => `${node.name}: ${typed(node)}`).join(", ");
  const outputs = graph.outputs.map(({ name, node }) => `${name}: ${typed(node)}`).join(", ");
  const operand = (node: Node) =>
    node.op === "constant" ? `${names.get(node)}${showShape(node.type.shape)}` : names.get(node)!;
  const lines = topological(graph)
    .filter((node) => node.op !== "constant" && node.op !== "input")
    .map((node) => {
      const attrs = Object.entries(node.attrs)
        // An identity says nothing of what is computed.
        .filter(([, value]) => typeof value !== "symbol")
        .map(([key, value]) => `${key}: ${Array.isArray(value) ? showShape(value) : String(value)}`)
        .join(", ");
      return `  ${names.get(node)} = ${node.op}(${node.inputs.map(operand).join(", ")})${
        attrs && ` {${attrs}}`
      }` +
        ` : ${typed(node)}`;
    });
  const results = graph.outputs.map(({ name, node }) => `  ${name} <- ${names.get(node)}`);
  return [`${graph.name}(${inputs}) -> ${outputs}`, ...lines, ...results, ""].join("\n");
}
