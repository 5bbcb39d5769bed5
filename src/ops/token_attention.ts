/**
 * Attention of tokens whose heads are not split: q, k and v as the products give them, and the result as the
 * next one reads it. The form ONNX Runtime's fused operator has, which splits and joins on its own.
 */
import { elementCount } from "../ir/data.ts";
import type { Node, TensorType } from "../ir/graph.ts";
import type { Dim } from "../ir/shape.ts";
import { attention } from "./attention.ts";
import { defineOp, onlyForOnnxRuntime, type ReferenceTensor, sizesOf } from "./define.ts";
import { Misfit } from "./operands.ts";
import { transpose } from "./transpose.ts";

export type TokenAttentionAttrs = {
  readonly heads: number;
  /** Factor on the logits. */
  readonly scale: number;
  /** Query t sees keys up to t, of as many. */
  readonly causal: boolean;
};

export const tokenAttention = defineOp({
  name: "token_attention",
  doc:
    "attention of q [B, T, H D], k and v [B, S, H D] in H heads, joined again: [B, T, H D]; mask [B or 1, H or 1, T, S]",
  operands: ["q", "k", "v", ["mask"]],
  infer: ([q, k, v, mask], { heads, scale, causal }: TokenAttentionAttrs) => {
    const split = (part: TensorType) => splitType(part, heads);
    const { dtype } = attention.infer([split(q), split(k), split(v), mask], { scale, causal });
    return { dtype, shape: q.shape };
  },
  kind: "product",
  // q k^T and the product with v, over S keys and the channels of all heads.
  flop: ({ inputs: [q, k] }) => 4 * elementCount(sizesOf(q)) * sizesOf(k)[1]!,
  ahead: ({ axis, index }, { inputs: [, , , mask] }) =>
    axis === 0 && index < 3 && (mask?.type.shape[0] ?? 1) === 1 ? { axis } : null,
  evaluate: ([q, k, v, mask], { heads, scale, causal }) => {
    const split = (part: ReferenceTensor) => splitValues(part, heads);
    const mixed = attention.evaluate([split(q), split(k), split(v), mask], { scale, causal });
    return { shape: q.shape, data: transpose.evaluate([mixed], { permutation: [0, 2, 1, 3] }).data };
  },
  tensorrt: onlyForOnnxRuntime,
  onnx: (g, [q, k, v, mask], { heads, scale, causal }) =>
    g.node("com.microsoft.MultiHeadAttention", [q, k, v, undefined, undefined, mask], {
      num_heads: heads,
      scale: { float: scale },
      ...(causal && { unidirectional: 1 }),
    }),
});

/** `[B, T, H D]` as `[B, H, T, D]`. */
function splitType({ dtype, shape }: TensorType, heads: number): TensorType {
  const [batch, tokens, channels] = shape as [Dim, Dim, Dim];
  if (shape.length !== 3 || typeof channels !== "number" || channels % heads !== 0) {
    throw new Misfit(`q, k and v must be [B, T, channels of ${heads} heads]`);
  }
  return { dtype, shape: [batch, heads, tokens, channels / heads] };
}

function splitValues({ shape, data }: ReferenceTensor, heads: number): ReferenceTensor {
  const [batch, tokens, channels] = shape as [number, number, number];
  return transpose.evaluate([{ shape: [batch, tokens, heads, channels / heads], data }], {
    permutation: [0, 2, 1, 3],
  });
}

/** Whether a mask has the shape that the fused operator takes for these logits: broadcast batch and heads. */
export function fitsFused(mask: Node, [batch, heads, queries, keys]: readonly Dim[]): boolean {
  const { shape } = mask.type;
  return shape.length === 4 && (shape[0] === 1 || shape[0] === batch) &&
    (shape[1] === 1 || shape[1] === heads) &&
    shape[2] === queries && shape[3] === keys;
}
