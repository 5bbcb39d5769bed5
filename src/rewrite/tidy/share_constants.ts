/**
 * `shareConstants`: constants over the same data, or of the same few whole numbers, are one node. The order
 * in which tokens are gathered, the same in every block of a scale, is so stored once. Numbers that must be
 * computed or read from a file are not compared: reading could cost more than storing them twice.
 */
import { elementCount } from "../../ir/data.ts";
import { type DType, isFloat } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { rebuild } from "../../ops/table.ts";

/** Whole numbers that are compared, at most. */
const MOST_COMPARED = 2 ** 16;

/** @returns the graph, and how many constants it has less */
export function shareConstants(graph: Graph): { graph: Graph; shared: number } {
  const byData = new Map<unknown, Map<DType, Node>>();
  let shared = 0;
  const result = mapGraph(graph, (node, inputs) => {
    if (node.op !== "constant") return rebuild(node, inputs);
    const { dtype } = node.type;
    const key = keyOf(node);
    const known = byData.get(key) ?? new Map<DType, Node>();
    byData.set(key, known);
    const first = known.get(dtype);
    if (first !== undefined) shared++;
    else known.set(dtype, node);
    return first ?? node;
  });
  return { graph: result, shared };
}

/** What two constants have in common that are one: the data itself, or its values. */
function keyOf(constant: Node): unknown {
  const data = dataOf(constant);
  if (isFloat(data.dtype) || elementCount(data.shape) > MOST_COMPARED) return data;
  return `${data.dtype} ${data.shape.join()}: ${data.bytes().join()}`;
}
