/**
 * What a network has to do, counted from its graph: the arithmetic of its products, for utilization, and the bytes that its
 * normalizations read and write, which a GPU's memory has to carry for each of them. Everything else is left out: an
 * addition or an activation is part of the product before it wherever a backend is worth measuring.
 */
import { elementCount } from "../ir/data.ts";
import { ITEM_BYTES } from "../ir/dtype.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { fixedShape } from "../ir/shape.ts";
import { isNorm } from "../rewrite/fold/norm_nodes.ts";

export interface Work {
  /** Multiplications and additions of matrix products, convolutions and attention, in 10^9. */
  readonly gflop: number;
  /** Normalizations that are still computed. */
  readonly normalizations: number;
  /** Bytes that those read and write: each its input once and its output once. */
  readonly normalizationBytes: number;
}

/** @param graph without open dimensions, before a backend's own operators replace what is counted here */
export function workOf(graph: Graph): Work {
  const nodes = topological(graph);
  const norms = nodes.filter(isNorm);
  const bytes = (node: Node) => elementCount(sizes(node)) * ITEM_BYTES[node.type.dtype];
  return {
    gflop: nodes.reduce((sum, node) => sum + flopOf(node), 0) / 1e9,
    normalizations: norms.length,
    normalizationBytes: norms.reduce((sum, node) => sum + bytes(node.inputs[0]!) + bytes(node), 0),
  };
}

const sizes = (node: Node) => fixedShape(node.type.shape, node.name);

function flopOf(node: Node): number {
  const shapes = node.inputs.map(sizes);
  const outputs = elementCount(sizes(node));
  switch (node.op) {
    case "linear":
      return 2 * outputs * shapes[1]![1]!;
    case "matmul": {
      const { transposeA = false } = node.attrs as { transposeA?: boolean };
      return 2 * outputs * shapes[0]!.at(transposeA ? -2 : -1)!;
    }
    case "attention":
      // q k^T and the product with v, both over S keys; a causal mask leaves half of it unused but computed.
      return 2 * outputs * shapes[1]![2]! * (1 + shapes[0]!.at(-1)! / shapes[2]!.at(-1)!);
    case "conv":
      return 2 * outputs * elementCount(shapes[1]!.slice(1));
    default:
      return 0;
  }
}
