/**
 * Self-attention together with the packed product of q, k and v in front of it: one operator of ONNX Runtime,
 * whose products write each head where the attention reads it, so that nothing is split, transposed or
 * copied.
 */
import { elementCount, heldData } from "../ir/data.ts";
import type { Node } from "../ir/graph.ts";
import type { Dim } from "../ir/shape.ts";
import { defineOp, onlyForOnnxRuntime, sizesOf } from "./define.ts";
import type { OnnxEmitter } from "./emitter.ts";
import { Misfit } from "./operands.ts";
import { linear } from "./linear.ts";
import { slice } from "./slice.ts";
import { tokenAttention, type TokenAttentionAttrs } from "./token_attention.ts";

export type SelfAttentionAttrs = TokenAttentionAttrs & {
  /** Whether the third input is a bias; a mask is the last. */
  readonly bias: boolean;
};

export const selfAttention = defineOp({
  name: "self_attention",
  doc: "token_attention of the thirds of x W^T + b, with x [B, T, C], W [3 H D, C]",
  operands: ["x", "weight", ["bias or mask"], ["mask"]],
  infer: ([x, weight, ...rest], { bias, ...attrs }: SelfAttentionAttrs) => {
    const [vector, mask] = biasAndMask(rest, bias);
    const packed = linear.infer([x, weight, vector], {});
    const outputs = packed.shape.at(-1);
    if (typeof outputs !== "number" || outputs % 3 !== 0) throw new Misfit("the weight must be [3 H D, C]");
    const third = { dtype: packed.dtype, shape: [...packed.shape.slice(0, -1), outputs / 3] };
    return tokenAttention.infer([third, third, third, mask], attrs);
  },
  kind: "product",
  // That of linear, and that of token_attention.
  flop: (node) => {
    const tokens = sizesOf(node)[1]!;
    return elementCount(sizesOf(node)) * (6 * sizesOf(node.inputs[1])[1]! + 4 * tokens);
  },
  ahead: ({ axis, index }, { attrs, inputs }) => {
    const mask = inputs[attrs.bias ? 3 : 2];
    return axis === 0 && index === 0 && (mask?.type.shape[0] ?? 1) === 1 ? { axis } : null;
  },
  evaluate: ([x, weight, ...rest], { bias, ...attrs }) => {
    const [vector, mask] = biasAndMask(rest, bias);
    const packed = linear.evaluate([x, weight, vector], {});
    const size = packed.shape.at(-1)! / 3;
    const third = (i: number) => slice.evaluate([packed], { axis: -1, start: i * size, size, step: 1 });
    return tokenAttention.evaluate([third(0), third(1), third(2), mask], attrs);
  },
  tensorrt: onlyForOnnxRuntime,
  onnx: (g, [x, weight, ...rest], { heads, scale, causal, bias }, node) => {
    const [vector, mask] = biasAndMask(rest, bias);
    const size = (node.type.shape.at(-1) as number) / heads;
    if (causal && mask === undefined && size % GROUPED_MULTIPLE === 0) {
      return causalAttention(g, [x, weight, vector], { heads, scale, node });
    }
    // The operator wants W as [C, 3 H D]; the runtime transposes the constant once, when it loads.
    const transposed = g.node("Transpose", [weight], { perm: [1, 0] });
    // Optional by its schema, but ONNX Runtime 1.30 reads an absent bias and crashes.
    const zeros = () => {
      const shape = [node.inputs[1].type.shape[0] as number];
      return g.constant(heldData(shape, new Float32Array(shape[0]!), `${node.name}, no bias`), {
        dtype: node.type.dtype,
        shape,
      });
    };
    const inputs = [x, transposed, vector ?? zeros(), undefined, undefined, mask];
    return g.node("com.microsoft.Attention", inputs, {
      num_heads: heads,
      scale: { float: scale },
      ...(causal && { unidirectional: 1 }),
    });
  },
});

/** What follows the weight: of a bias and a mask either may be missing. */
function biasAndMask<T>(
  [third, fourth]: readonly [(T | undefined)?, (T | undefined)?],
  bias: boolean,
): readonly [bias: T | undefined, mask: T | undefined] {
  if (!bias && fourth !== undefined) throw new Misfit("without a bias it takes one mask");
  return bias ? [third, fourth] : [undefined, third];
}

/** The operator for groups of queries refuses heads of other sizes than multiples of this. */
const GROUPED_MULTIPLE = 8;

/**
 * A causal mask as ONNX Runtime's operator for groups of queries has it built in, here of as many keys as
 * queries and nothing from before: the product and it take 0.86 of the time of `Attention`, which adds a mask
 * of all tokens.
 */
function causalAttention(
  g: OnnxEmitter,
  [x, weight, bias]: readonly [string, string, string | undefined],
  { heads, scale, node }: { heads: number; scale: number; node: Node },
): string {
  const [batch, tokens] = node.type.shape as [Dim, Dim];
  const product = g.node("MatMul", [x, g.node("Transpose", [weight], { perm: [1, 0] })]);
  // As [1, 1, 3 H D] all threads add it. A plain vector becomes the product's C, written by one thread.
  const packed = bias === undefined
    ? product
    : g.node("Add", [product, g.node("Unsqueeze", [bias, g.int64([0, 1])])]);
  // How many tokens each sequence has, less one; and the most of them.
  const last = g.node("Sub", [g.shape([tokens]), g.int64([1])]);
  const lasts = g.cast(g.node("Expand", [last, g.shape([batch])]), "int32");
  const total = g.cast(g.node("Squeeze", [g.shape([tokens]), g.int64([0])]), "int32");
  return g.node("com.microsoft.GroupQueryAttention", [packed, "", "", "", "", lasts, total], {
    num_heads: heads,
    kv_num_heads: heads,
    scale: { float: scale },
  });
}
