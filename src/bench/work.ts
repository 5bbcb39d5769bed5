/**
 * A network's work, counted from its graph: the arithmetic of its products, for utilization, and the bytes
 * that its normalizations read from and write to a GPU's memory. Left out is all else: every backend worth
 * measuring fuses an addition or an activation into the product before it.
 */
import { elementCount } from "../ir/data.ts";
import { ITEM_BYTES } from "../ir/dtype.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { sizesOf } from "../ops/define.ts";
import { opOf } from "../ops/table.ts";
import { isNorm } from "../rewrite/fold/norm_nodes.ts";

export interface Work {
  /** Multiplications and additions of matrix products, convolutions and attention, in 10^9. */
  readonly gflop: number;
  /** Normalizations that are still computed. */
  readonly normalizations: number;
  /** Bytes that those read and write: each its input once and its output once. */
  readonly normalizationBytes: number;
}

/** @param graph without open dimensions */
export function workOf(graph: Graph): Work {
  const nodes = topological(graph);
  const norms = nodes.filter(isNorm);
  const bytes = (node: Node) => elementCount(sizesOf(node)) * ITEM_BYTES[node.type.dtype];
  return {
    gflop: nodes.reduce((sum, node) => sum + flopOf(node), 0) / 1e9,
    normalizations: norms.length,
    normalizationBytes: norms.reduce((sum, node) => sum + bytes(node.inputs[0]!) + bytes(node), 0),
  };
}

function flopOf(node: Node): number {
  const op = opOf(node);
  return op.kind === "product" ? op.flop(node) : 0;
}
