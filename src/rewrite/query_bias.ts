/**
 * `moveQueryBiases`: the bias of an attention's queries becomes one number for each key, and the attention is written out,
 *
 *     softmax(a (q + b) k^T + m) v = softmax(a q k^T + (a b k^T) + m) v
 *
 * Products without a bias are what TensorRT merges and lets its fused attention read in place; one small kernel for `b k^T`
 * takes the place of one that splits, scales and transposes q, k and v and one that transposes the result. Measured with Layer
 * Normalization on RTX 1.7.1, fp16: 51 kernels against 55 with `packHeads` for six blocks, and 122 against 127 for Swin-T.
 * Left as they are: a causal mask over an open number of tokens, which only TensorRT's own operator has; and a
 * single query, whose bias is a few numbers, while reading all keys twice would cost more.
 */
import { float64Of, heldData } from "../ir/data.ts";
import { type Graph, mapGraph, type Node, usesOf } from "../ir/graph.ts";
import type { Dim, Shape } from "../ir/shape.ts";
import { type AttentionAttrs, causalMask, repetitionOf } from "../ops/attention.ts";
import { apply, constantNode, isOp, rebuild } from "../ops/mod.ts";
import { sourceOf } from "./attention_bias.ts";
import { biasOf, withBias } from "./constants.ts";

/** @returns the graph, and how many attentions lost their queries' bias */
export function moveQueryBiases(graph: Graph): { graph: Graph; moved: number } {
  const uses = usesOf(graph);
  const biases = new Map<Node, Float64Array>();
  const taken = new Map<Node, Float64Array>();
  for (const node of uses.keys()) {
    if (!isOp(node, "attention") || node.type.shape[2] === 1 || !canBeWrittenOut(node)) continue;
    const source = sourceOf(node, 0, uses);
    const bias = source === null ? null : biases.get(source.linear) ?? biasOf(source.linear)?.slice() ?? null;
    if (source === null || bias === null) continue;
    const { linear, start, size } = source;
    taken.set(node, bias.slice(start, start + size));
    biases.set(linear, bias.fill(0, start, start + size));
  }
  const result = mapGraph(graph, (node, inputs) => {
    const bias = biases.get(node);
    if (bias !== undefined) return withBias(node, inputs[0]!, bias.every((b) => b === 0) ? null : bias);
    const own = taken.get(node);
    return own === undefined || !isOp(node, "attention")
      ? rebuild(node, inputs)
      : writtenOut(node, inputs, own);
  });
  return { graph: result, moved: taken.size };
}

/** Whether an attention's mask, if it has one, can be added: a causal one needs to know how many tokens there are. */
export function canBeWrittenOut(attention: Node): boolean {
  const [queries, keys] = [attention.type.shape[2]!, attention.inputs[1]!.type.shape[2]!];
  const isOpen = typeof queries === "string" || typeof keys === "string";
  return !(isOpen && queries !== 1 && (attention.attrs as AttentionAttrs).causal);
}

/**
 * An attention as products and a softmax, on rebuilt inputs.
 *
 * @param bias of the queries, `[H D]`, which the queries themselves no longer have; null for none
 */
export function writtenOut(
  attention: Node & { readonly attrs: AttentionAttrs },
  [q, k, v, mask]: readonly Node[],
  bias: Float64Array | null,
): Node {
  const { scale, causal } = attention.attrs;
  const { dtype } = attention.type;
  const [batch, heads, keys, size] = k!.type.shape as [Dim, number, Dim, number];
  const name = attention.name;
  const constant = (values: Float64Array, shape: readonly number[]) =>
    constantNode(heldData(shape, values, name), { dtype, name: `${name}/constant` });
  const sum = (a: Node, b: Node) => apply("add", [a, b], { attrs: {}, name });

  const scaled = scale === 1
    ? q!
    : apply("mul", [q!, constant(Float64Array.of(scale), [1, 1, 1, 1])], { attrs: {}, name });
  let logits = apply("matmul", [scaled, k!], { attrs: { transposeB: true }, name });
  if (bias !== null) {
    const rows = constant(bias.map((b) => scale * b), [1, heads, 1, size]);
    const weighted = apply("mul", [k!, rows], { attrs: {}, name: `${name}/query_bias` });
    const scores = apply("reduce_sum", [weighted], {
      attrs: { axes: [3], keepDims: false },
      name: `${name}/query_bias`,
    });
    const row = apply("reshape", [scores], { attrs: { shape: [batch, heads, 1, keys] }, name });
    logits = sum(logits, row);
  }
  if (causal && q!.type.shape[2] !== 1) {
    const [above] = causalMask(attention);
    logits = sum(logits, constant(float64Of(above), above.shape));
  }
  if (mask !== undefined) {
    const repeated = repetitionOf(attention);
    const apart = (node: Node, shape: Shape) => apply("reshape", [node], { attrs: { shape }, name });
    logits = repeated === null
      ? sum(logits, mask)
      : apart(sum(apart(logits, repeated.parts), mask), repeated.whole);
  }
  const weights = apply("softmax", [logits], { attrs: { axis: 3 }, name });
  return apply("matmul", [weights, v!], { attrs: {}, name });
}
