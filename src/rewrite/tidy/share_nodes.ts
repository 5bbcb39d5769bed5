/**
 * `shareNodes`: the same operator on the same inputs is computed once. Exporters compute a mean twice where
 * the program did, and a rotation for queries and again for keys. Laws that need one tensor in two places
 * then find one node.
 */
import { elementCount, float64Of } from "../../ir/data.ts";
import { isFloat } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { rebuild } from "../../ops/table.ts";

/** @returns the graph, and how many nodes it has less */
export function shareNodes(graph: Graph): { graph: Graph; shared: number } {
  const ids = new Map<unknown, number>();
  const idOf = (thing: unknown) => {
    const known = ids.get(thing);
    if (known !== undefined) return known;
    ids.set(thing, ids.size);
    return ids.size - 1;
  };
  const byKey = new Map<string, Node>();
  let shared = 0;
  const result = mapGraph(graph, (node, inputs) => {
    const next = rebuild(node, inputs);
    if (next.op === "input") return next;
    const key = next.op === "constant" ? constantKey(next, idOf) : `${next.op} ${next.inputs.map(idOf)} ${
      // Identities of normalizations are symbols, which no two of them share.
      JSON.stringify(next.attrs, (_, value) => typeof value === "symbol" ? `symbol ${idOf(value)}` : value)}`;
    const first = byKey.get(key);
    if (first === undefined) byKey.set(key, next);
    else if (first !== next) shared++;
    return first ?? next;
  });
  return { graph: result, shared };
}

/** A lone number is known by its value; other constants by their data, which is not read for it. */
function constantKey(constant: Node, idOf: (thing: unknown) => number): string {
  const data = dataOf(constant);
  const { dtype, shape } = constant.type;
  const isNumber = isFloat(dtype) && elementCount(data.shape) === 1;
  const value = isNumber
    ? Object.is(float64Of(data)[0], -0) ? "-0" : float64Of(data)[0]
    : `data ${idOf(data)}`;
  return `constant ${dtype} ${shape.join()} ${value}`;
}
