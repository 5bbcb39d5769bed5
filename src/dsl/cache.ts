/**
 * Attention that keeps its keys and values: a prompt is read at once (prefill), and each further token (a step) attends
 * to the keys and values of those before it, which are inputs and outputs of the network.
 */
import { UnfoldError } from "../errors.ts";
import { COUNT, FLAG, given, OBJECT, optional, partsOf, TEXT } from "../ir/given.ts";
import { layer, TENSOR } from "./given.ts";
import { joinHeads, splitHeads } from "./attention.ts";
import { fixedChannels, linear } from "./layers.ts";
import type { Scope } from "./scope.ts";
import { concat, scaledDotProductAttention, slice, type Tensor } from "./tensor.ts";

/** Keys and values of earlier tokens, `[B, H, P, D]` each. */
export interface KeyValues {
  readonly key: Tensor;
  readonly value: Tensor;
}

export interface CachedAttentionOptions {
  readonly heads: number;
  /** The name of the packed product, `[3C, C]` in the order q, k, v. */
  readonly qkv: string;
  readonly out: string;
  /** Of both products; true unless said. */
  readonly bias?: boolean;
  /** What came before. Without it the tokens are the first ones. */
  readonly past?: KeyValues | undefined;
}

/**
 * Causal self-attention of `[B, T, C]`, and the keys and values of all tokens so far, `[B, H, P + T, D]`. With a past,
 * T is 1.
 */
export function cachedAttention(
  x: Tensor,
  p: Scope,
  options: CachedAttentionOptions,
): KeyValues & { readonly output: Tensor } {
  const what = layer("cachedAttention", x, p);
  const known = given(what, options, {
    heads: COUNT,
    qkv: TEXT,
    out: TEXT,
    bias: optional(FLAG),
    past: optional(OBJECT),
  });
  const { heads, qkv, out, bias = true } = known;
  const past = known.past && partsOf(`${what}: past`, known.past, { key: TENSOR, value: TENSOR });
  const channels = fixedChannels(x, p);
  const packed = linear(x, p.at(qkv), { outputs: 3 * channels, bias });
  const [q, ownKey, ownValue] = [0, 1, 2].map((i) =>
    splitHeads(slice(packed, { axis: -1, start: i * channels, end: (i + 1) * channels }), heads, p)
  ) as [Tensor, Tensor, Tensor];
  if (past !== undefined && x.type.shape[1] !== 1) {
    throw new UnfoldError(`${p.path}: with keys and values of the past, one token is read at a time`);
  }
  const key = past === undefined ? ownKey : concat([past.key, ownKey], { axis: 2 });
  const value = past === undefined ? ownValue : concat([past.value, ownValue], { axis: 2 });
  const mixed = scaledDotProductAttention({ q, k: key, v: value }, { causal: past === undefined });
  return { output: linear(joinHeads(mixed), p.at(out), { outputs: channels, bias }), key, value };
}
