/**
 * `moveAttentionBiases`: two biases of an attention's products are never needed,
 *
 *     softmax(q (k + b)^T) = softmax(q k^T)          b adds one number to all logits of a query
 *     softmax(...) (v + b) = softmax(...) v + b      rows of a softmax sum to one
 *
 * so the bias of k is dropped, and the bias of v is folded into the product behind the attention, `b_o + W_o
 * b_v`. Exact with masks, for one packed product as for three, and for grouped heads, whose bias counts once
 * for each query head. It looks at producers and consumers, hence a pass; it reads no matrix.
 */
import type { TensorData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { rebuild } from "../../ops/table.ts";
import { filledData, isZero, joinedData, partOfData, withPart } from "../../weights/derived/derive.ts";
import { foldIntoWeight } from "../../weights/derived/fold.ts";
import { type Constants, constantsOf, withConstants } from "../tidy/constants.ts";
import { attentionsIn, type Operand } from "./anatomy.ts";

/** @returns the graph, and how many biases of k and v went */
export function moveAttentionBiases(graph: Graph): { graph: Graph; moved: number } {
  const changed = new Map<Node, Constants>();
  /** What each product and attention lacks, by axes that it has in a row. */
  const lost = new Map<Node, { axes: readonly number[]; shift: TensorData }>();
  const changedOf = (product: Node) => changed.get(product) ?? constantsOf(product);
  let moved = 0;
  /** Takes an operand's bias away; null where there was none. */
  const take = ({ rows, isOnlyReader }: Operand): TensorData | null => {
    if (rows === null || !isOnlyReader) return null;
    const { product, start, size } = rows;
    const { weight, bias } = changedOf(product);
    if (bias === null) return null;
    const rest = withPart(bias, filledData([size], 0), { axis: 0, start });
    changed.set(product, { weight, bias: isZero(rest) ? null : rest });
    const taken = partOfData(bias, { axis: 0, start, size });
    if (isZero(taken)) return null;
    moved++;
    const known = lost.get(product)?.shift ?? filledData(bias.shape, 0);
    lost.set(product, {
      axes: [product.type.shape.length - 1],
      shift: withPart(known, taken, { axis: 0, start }),
    });
    return taken;
  };
  for (const { node, k, v, readers } of attentionsIn(usesOf(graph))) {
    take(k);
    const taken = readers && take(v);
    if (!taken) continue;
    const heads = { size: node.type.shape[3] as number, repeats: v.repeats };
    const shift = overHeads(taken, heads);
    lost.set(node, { axes: [1, 3], shift });
    for (const reader of readers) {
      const { weight, bias } = changedOf(reader);
      changed.set(reader, foldIntoWeight(weight, bias, { shift }));
    }
  }
  const result = mapGraph(graph, (node, inputs) => {
    const constants = changed.get(node);
    return constants === undefined ? rebuild(node, inputs) : withConstants(node, inputs[0]!, constants);
  }, (node) => {
    const lacks = lost.get(node);
    return lacks && [{ kind: "affine", ...lacks }];
  });
  return { graph: result, moved };
}

/** A vector over grouped heads of so many channels each, as one over all the heads that they serve. */
function overHeads(vector: TensorData, { size, repeats }: { size: number; repeats: number }): TensorData {
  if (repeats === 1) return vector;
  const groups = Array.from({ length: vector.shape[0]! / size }, (_, i) => i * size);
  const parts = groups.map((start) => partOfData(vector, { axis: 0, start, size }));
  return joinedData(parts.flatMap((part) => new Array<TensorData>(repeats).fill(part)), 0);
}
