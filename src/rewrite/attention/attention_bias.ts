/**
 * `moveAttentionBiases`: of the biases of an attention's products two are never needed,
 *
 *     softmax(q (k + b)^T) = softmax(q k^T)          b adds one number to all logits of a query
 *     softmax(...) (v + b) = softmax(...) v + b      rows of a softmax sum to one
 *
 * so the bias of k is dropped and that of v is folded into the product behind the attention, `b_o + W_o b_v`. Exact with
 * masks, for one packed product as for three, and for grouped heads, whose bias each head that they serve gives on. It
 * looks at producers and consumers, hence a pass; it reads no matrix.
 */
import { rowsOfData } from "../../ir/arranged.ts";
import { float64Of, type TensorData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { foldIntoWeight, isFolded } from "../../ops/fold.ts";
import { rebuild } from "../../ops/table.ts";
import { type Constants, constantsOf, withConstants } from "../tidy/constants.ts";
import { attentionsIn, type Operand } from "./anatomy.ts";

/** What a product's constants have become, and whether the bias takes reading the weight, which is not done here. */
interface Changed extends Constants {
  readonly isFolded: boolean;
}

/** @returns the graph, and how many biases of k and v went */
export function moveAttentionBiases(graph: Graph): { graph: Graph; moved: number } {
  const changed = new Map<Node, Changed>();
  const changedOf = (product: Node): Changed => {
    const own = constantsOf(product);
    return changed.get(product) ?? { ...own, isFolded: own.bias !== null && isFolded(own.bias) };
  };
  let moved = 0;
  /** Takes an operand's bias away; null where there was none. */
  const take = ({ rows, isOwn }: Operand): TensorData | null => {
    const constants = rows && changedOf(rows.product);
    if (rows === null || !isOwn || !constants?.bias) return null;
    const { bias, isFolded } = constants;
    changed.set(rows.product, { ...constants, bias: withoutRows(bias, { ...rows, isFolded }) });
    const taken = rowsOfData(bias, rows);
    if (!isFolded && isZero(taken)) return null;
    moved++;
    return taken;
  };
  for (const { node, k, v, readers } of attentionsIn(usesOf(graph))) {
    take(k);
    const taken = readers && take(v);
    if (!taken) continue;
    const heads = { size: node.type.shape[3] as number, repeats: v.repeats };
    const shift = () => overHeads(float64Of(taken), heads);
    for (const reader of readers) {
      const { weight, bias } = changedOf(reader);
      const scale = new Float64Array(weight.shape[1]!).fill(1);
      const folded = foldIntoWeight(weight, bias, { dtype: reader.type.dtype, scale, shift });
      changed.set(reader, { ...folded, isFolded: true });
    }
  }
  const result = mapGraph(graph, (node, inputs) => {
    const constants = changed.get(node);
    return constants === undefined ? rebuild(node, inputs) : withConstants(node, inputs[0]!, constants);
  });
  return { graph: result, moved };
}

/** A bias with zeros in some rows; null where it is zero then. */
function withoutRows(
  bias: TensorData,
  { start, size, isFolded }: { start: number; size: number; isFolded: boolean },
): TensorData | null {
  if (size === bias.shape[0]) return null;
  const rest: TensorData = {
    dtype: "fp64",
    shape: bias.shape,
    origin: bias.origin,
    bytes: () => new Uint8Array(float64Of(bias).slice().fill(0, start, start + size).buffer),
  };
  return !isFolded && isZero(rest) ? null : rest;
}

const isZero = (vector: TensorData) => float64Of(vector).every((value) => value === 0);

/** A vector over grouped heads of so many channels each, as one over all the heads that they serve. */
function overHeads(vector: Float64Array, { size, repeats }: { size: number; repeats: number }): Float64Array {
  return new Float64Array(vector.length * repeats).map((_, i) => {
    const group = Math.floor(i / size / repeats);
    return vector[group * size + i % size]!;
  });
}
