/**
 * `foldConstants`: a node whose inputs are all known is its value, computed once in float64 by the operator's own
 * meaning, when somebody asks for it, and rounded once by whoever emits it. Large results that only repeat an input (`expand`) stay unfolded.
 */
import { bytesFromNumbers, float64Of, type TensorData } from "../../ir/data.ts";
import { isFloat } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { constantNode, opOf, rebuild } from "../../ops/table.ts";

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
export function isKnown({ op, inputs, type }: Node): boolean {
  return inputs.length > 0 && op !== "expand" && inputs.every((input) => input.op === "constant") &&
    type.shape.every((dim) => typeof dim === "number");
}

function constantOf(node: Node): Node {
  const { dtype, shape } = node.type;
  const stored = isFloat(dtype) ? "fp64" : dtype;
  let bytes: Uint8Array | undefined;
  const data: TensorData = {
    dtype: stored,
    shape: shape as readonly number[],
    origin: node.name,
    bytes: () => bytes ??= bytesFromNumbers(valueOf(node), stored),
  };
  return constantNode(data, { dtype, name: node.name });
}

function valueOf(node: Node): Float64Array {
  const inputs = node.inputs.map((input) => {
    const data = dataOf(input);
    return { shape: data.shape, data: float64Of(data) };
  });
  return opOf(node).evaluate(inputs, node.attrs).data;
}
