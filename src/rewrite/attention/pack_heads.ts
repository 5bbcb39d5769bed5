/**
 * `packHeads`: the form in which TensorRT needs the fewest kernels for a packed q, k, v product *with* a
 * bias. The heads are split off all three at once,
 *
 *     transpose(reshape(slice_i(y); B T H D); 0 2 1 3) = slice_i(transpose(reshape(y; B T 3 H D); 2 0 3 1 4))
 *
 * which the builder makes one kernel of, and the attention is products of `[B H, T, D]`, behind which it
 * takes no slice through the product in front. Counted with RTX 1.7.1, batch 8, on 27 November 2026, against
 * the attention's own operator: in fp32 154 kernels and 154 for DeiT-Ti (161 and 161 with an open batch), 188
 * and 193 for Swin-T; in fp16 without `carryOne` 77 and 88 for DeiT-S, 93 and 109 for Swin-T. NVIDIA's ONNX
 * parser, which has no such operator, makes as many of these products, and 176, 200, 99 and 117 of those over
 * `[B, H, T, D]`. Without a bias the product needs no such kernel at all, and this form would not help.
 */
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import type { Dim } from "../../ir/shape.ts";
import type { AttentionNode } from "../../ops/attention.ts";
import { apply, isOp, rebuild } from "../../ops/table.ts";
import { attentionsIn } from "./anatomy.ts";
import { canBeWrittenOut, writtenOut } from "./write_attention.ts";

/**
 * @returns the graph with each attention over a packed product with bias in that form, and how many there are
 */
export function packHeads(graph: Graph): { graph: Graph; packed: number } {
  const uses = usesOf(graph);
  const packed = new Map<Node, Node>();
  for (const attention of attentionsIn(uses)) {
    const product = attention.packed;
    const hasBias = product?.inputs.length === 3;
    if (hasBias && uses.get(product)!.length === 3) packed.set(attention.node, product);
  }
  const rebuilt = new Map<Node, Node>();
  const result = mapGraph(graph, (node, inputs) => {
    const product = packed.get(node);
    const next = product === undefined || !isOp(node, "attention")
      ? rebuild(node, inputs)
      : attending(node, [...splitTogether(rebuilt.get(product)!, node), ...inputs.slice(3)]);
    rebuilt.set(node, next);
    return next;
  });
  return { graph: result, packed: packed.size };
}

function attending(attention: AttentionNode, operands: readonly Node[]): Node {
  return canBeWrittenOut(attention)
    ? writtenOut(attention, operands, { merged: true })
    : rebuild(attention, operands);
}

function splitTogether(product: Node, attention: Node): Node[] {
  const [batch, heads, tokens, size] = attention.inputs[0]!.type.shape as [Dim, Dim, Dim, Dim];
  const name = product.name;
  const split = apply("reshape", [product], {
    attrs: { shape: [batch, tokens, 3, heads, size] },
    name: `${name}/heads`,
  });
  const swapped = apply("transpose", [split], {
    attrs: { permutation: [2, 0, 3, 1, 4] },
    name: `${name}/heads`,
  });
  return ["q", "k", "v"].map((part, start) => {
    const third = apply("slice", [swapped], {
      attrs: { axis: 0, start, size: 1, step: 1 },
      name: `${name}/${part}`,
    });
    return apply("reshape", [third], {
      attrs: { shape: [batch, heads, tokens, size] },
      name: `${name}/${part}`,
    });
  });
}
