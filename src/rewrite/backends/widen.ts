/**
 * `widen`: a network of fp16 or bf16 as one that computes in fp32 with the same weights. It leaves out the
 * rounding of results, which `src/compile/rounded.ts` adds: a CPU that runs the narrow network itself keeps
 * results in fp32 between operators and never shows an overflow.
 */
import { isNarrow } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node } from "../../ir/graph.ts";
import { apply, isOp, rebuild } from "../../ops/table.ts";

export interface Widened {
  readonly graph: Graph;
  /** The node of the narrow network that each of its nodes stands for. */
  readonly origins: ReadonlyMap<Node, Node>;
}

/** Inputs and results in fp32; constants stay as narrow as they are stored and are cast. */
export function widen(narrow: Graph): Widened {
  const origins = new Map<Node, Node>();
  const graph = mapGraph(narrow, (node, inputs) => {
    const wide = widened(node, inputs);
    origins.set(wide, node);
    return wide;
  });
  return { graph, origins };
}

function widened(node: Node, inputs: readonly Node[]): Node {
  if (!isNarrow(node.type.dtype)) return rebuild(node, inputs);
  const { name, type: { shape } } = node;
  if (node.op === "input") return apply("input", [], { attrs: { dtype: "fp32", shape }, name });
  if (node.op === "constant") return apply("cast", [node], { attrs: { to: "fp32" }, name: `${name}/fp32` });
  if (isOp(node, "cast")) return apply("cast", inputs, { attrs: { to: "fp32" }, name });
  return rebuild(node, inputs);
}
