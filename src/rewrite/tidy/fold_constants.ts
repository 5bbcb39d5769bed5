/**
 * `foldConstants`: a node whose inputs are all known becomes its value: computed once, on demand, in float64
 * by the operator's own meaning, and rounded once by the emitter. Large results that only repeat an input
 * (`expand`) stay unfolded.
 */
import type { TensorData } from "../../ir/data.ts";
import { isFloat } from "../../ir/dtype.ts";
import { type Graph, mapGraph, type Node } from "../../ir/graph.ts";
import { dataOf, madeOf } from "../../ops/constant.ts";
import { constantNode, isOp, opOf, rebuild } from "../../ops/table.ts";
import { computedData, transposedData } from "../../weights/derived/derive.ts";

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
    type.shape.every((dim) => typeof dim === "number") &&
    !(isOp(node, "size") && typeof node.attrs.size === "string") && !isKeptQuantized(node);
}

/** Whether a node makes floats of a weight that is whole numbers, so that its product is one of those. */
export function isKeptQuantized(node: Node): boolean {
  return isOp(node, "dequantize") && node.type.shape.length > 1;
}

function constantOf(node: Node): Node {
  const { type: { dtype, shape }, name } = node;
  const data = movedData(node) ?? computedData(node.inputs.map(dataOf), {
    name,
    shape: shape as readonly number[],
    dtype: isFloat(dtype) ? "fp64" : dtype,
    compute: (values) => opOf(node).evaluate(values, node.attrs).data,
  });
  madeOf(data, node);
  // A matrix that was transposed is still the weight it was.
  return constantNode(data, { dtype, name: isOp(node, "transpose") ? node.inputs[0].name : name });
}

/** A transposed matrix, which is not computed but read in another order; null of other nodes. */
function movedData(node: Node): TensorData | null {
  const isSwap = isOp(node, "transpose") && node.attrs.permutation.join() === "1,0";
  return isSwap ? transposedData(dataOf(node.inputs[0])) : null;
}
