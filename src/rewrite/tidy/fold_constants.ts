/**
 * `foldConstants`: a node whose inputs are all known becomes its value: computed once, on demand, in float64
 * by the operator's own meaning, and rounded once by the emitter. Large results that only repeat an input
 * (`expand`) stay unfolded.
 */
import { isFloat } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { constantNode, opOf, rebuild } from "../../ops/table.ts";
import { computedData } from "../../weights/derived/derive.ts";

/** @returns the graph, and how many nodes became constants */
export function foldConstants(graph: Graph): { graph: Graph; folded: number } {
  let folded = 0;
  const result = mapGraph(graph, (node, inputs) => {
    const next = rebuild(node, inputs);
    if (!isKnown(next)) return next;
    folded++;
    return constantOf(next);
  });
  return { graph: result, folded };
}

/** Whether a node can be computed before the network runs, and is worth storing. */
export function isKnown(node: Node): boolean {
  const { op, inputs, type } = node;
  return opOf(node).kind !== "source" && op !== "expand" &&
    inputs.every((input) => input.op === "constant") &&
    type.shape.every((dim) => typeof dim === "number");
}

function constantOf(node: Node): Node {
  const { type: { dtype, shape }, name } = node;
  const data = computedData(node.inputs.map(dataOf), {
    name,
    shape: shape as readonly number[],
    dtype: isFloat(dtype) ? "fp64" : dtype,
    compute: (values) => opOf(node).evaluate(values, node.attrs).data,
  });
  return constantNode(data, { dtype, name });
}
