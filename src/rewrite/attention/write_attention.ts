/**
 * Attention written out, `softmax(a q k^T + m) v` as two products and a softmax: TensorRT fuses that as well
 * as its own operator, and lets it read a product in place, where the operator's causal mask does not. Only
 * the operator takes a causal mask over an open number of tokens.
 */
import type { DType } from "../../ir/dtype.ts";
import { float64Of, heldData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node } from "../../ir/graph.ts";
import { type Dim, multiplyDims, type Shape } from "../../ir/shape.ts";
import { type AttentionNode, causalMask, repetitionOf } from "../../ops/attention.ts";
import { apply, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { reshaped } from "../shaped.ts";
import { isMasked } from "./anatomy.ts";

/** @returns the graph with every attention that can be written out, and how many were */
export function writeAttention(graph: Graph): { graph: Graph; written: number } {
  let written = 0;
  const result = mapGraph(graph, (node, inputs) => {
    if (!isOp(node, "attention") || !canBeWrittenOut(node)) return rebuild(node, inputs);
    written++;
    return writtenOut(node, inputs);
  });
  return { graph: result, written };
}

/** Whether an attention's mask can be written as an addition: a causal mask needs a known token count. */
export function canBeWrittenOut(attention: AttentionNode): boolean {
  const [queries, keys] = [attention.type.shape[2]!, attention.inputs[1]!.type.shape[2]!];
  const isOpen = typeof queries === "string" || typeof keys === "string";
  return !(isOpen && isMasked(attention));
}

/**
 * An attention as products and a softmax, on rebuilt inputs; over matrices `[B H, T, S]` where the heads are
 * `merged` into the batch.
 */
export function writtenOut(
  attention: AttentionNode,
  [q, k, v, mask]: readonly Node[],
  { merged = false }: { merged?: boolean } = {},
): Node {
  const { dtype, shape } = attention.type;
  const [batch, heads] = shape as [Dim, Dim];
  const { scale, softmax = dtype } = attention.attrs;
  const name = attention.name;
  const constant = (values: Float64Array, shape: readonly number[]) =>
    constantNode(heldData(shape, values, name), { dtype, name: `${name}/constant` });
  const sum = (a: Node, b: Node) => apply("add", [a, b], { attrs: {}, name });
  const held = (shape: Shape) => merged ? [multiplyDims(batch, heads), ...shape.slice(2)] : shape;
  const asHeld = (node: Node) => reshaped(node, held(node.type.shape), name);

  const scaled = scale === 1
    ? q!
    : apply("mul", [q!, constant(Float64Array.of(scale), [1, 1, 1, 1])], { attrs: {}, name });
  let logits = apply("matmul", [asHeld(scaled), asHeld(k!)], { attrs: { transposeB: true }, name });
  if (isMasked(attention)) {
    const [above] = causalMask(attention);
    logits = sum(logits, constant(float64Of(above), above.shape));
  }
  if (mask !== undefined) {
    const whole = [...shape.slice(0, 3), k!.type.shape[2]!];
    const { parts } = repetitionOf(attention) ?? { parts: whole };
    logits = reshaped(sum(reshaped(logits, parts, name), mask), held(whole), name);
  }
  const cast = (node: Node, to: DType) =>
    node.type.dtype === to ? node : apply("cast", [node], { attrs: { to }, name });
  const weights = apply("softmax", [cast(logits, softmax)], { attrs: { axis: merged ? 2 : 3 }, name });
  return reshaped(apply("matmul", [cast(weights, dtype), asHeld(v!)], { attrs: {}, name }), shape, name);
}
