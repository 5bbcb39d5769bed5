/** Multi-head attention as a layer, with or without kept keys and values. The operator is in `src/ops`. */
import { UnfoldError } from "../errors.ts";
import { COUNT, either, FLAG, given, listOf, NUMBER, OBJECT, optional, partsOf, TEXT } from "../ir/given.ts";
import { layer, SCOPE, THREE_NAMES } from "./given.ts";
import { joinHeads, repeatHeads, scaledDotProductAttention, splitHeads } from "./heads.ts";
import { fixedChannels, linear, norm } from "./layers.ts";
import { type RotaryTable, rotate } from "./positions.ts";
import type { Scope } from "./scope.ts";
import { concat, TENSOR, type Tensor } from "./tensor.ts";

/** What `attention` takes besides tensor and scope. */
export interface AttentionOptions {
  /** H, of the queries. */
  readonly heads: number;
  /** D, the channels of a head; `C / H` unless said. */
  readonly size?: number;
  /** Key and value heads, each for `heads / groups` query heads (Ainslie et al. 2023); `heads` by default. */
  readonly groups?: number;
  /**
   * Names of the products: one of queries, keys and values in this order, `qkv` unless said, or two, the
   * second of keys and values, or three.
   */
  readonly qkv?: string | readonly [q: string, kv: string] | readonly [q: string, k: string, v: string];
  /** The name of the last product; `proj` unless said. */
  readonly out?: string;
  /** Whether queries, keys and values have biases, all or each of three products; true unless said. */
  readonly qkvBias?: boolean | readonly [q: boolean, k: boolean, v: boolean];
  /** Whether the last product has a bias; true unless said. */
  readonly outBias?: boolean;
  /** Whether rows of the last product's weight are centred: `LinearOptions.centred`. */
  readonly outCentred?: boolean;
  /** The factor of the logits; `1 / sqrt(D)` unless said. */
  readonly scale?: number | undefined;
  /** Query t sees keys up to t. */
  readonly causal?: boolean;
  /** Added to the logits, broadcast to `[B, H, T, T]`; in windows `[H, window, window]`, or one of each. */
  readonly mask?: Tensor;
  /** Another sequence `[B, S, C]` that keys and values are of: cross-attention. */
  readonly memory?: Tensor;
  /** Rotations of queries and keys by their positions. */
  readonly rotary?: RotaryTable;
  /** Scopes of normalizations of each head's queries and keys (Henry et al. 2020; ViT-22B). */
  readonly qkNorms?: readonly [q: Scope, k: Scope];
  /** Scope of a normalization in front of the output projection (BEiT-3, Magneto). */
  readonly norm?: Scope;
  /** Attends within windows of so many tokens that lie together, rather than over all T. */
  readonly window?: number;
}

/** Options of an attention, for whoever takes them too. */
export const ATTENTION = {
  heads: COUNT,
  size: optional(COUNT),
  groups: optional(COUNT),
  qkv: optional(either(TEXT, THREE_NAMES, listOf(TEXT, 2))),
  out: optional(TEXT),
  qkvBias: optional(either(FLAG, listOf(FLAG, 3))),
  outBias: optional(FLAG),
  outCentred: optional(FLAG),
  scale: optional(NUMBER),
  causal: optional(FLAG),
  mask: optional(TENSOR),
  memory: optional(TENSOR),
  rotary: optional(OBJECT),
  qkNorms: optional(listOf(SCOPE, 2)),
  norm: optional(SCOPE),
  window: optional(COUNT),
};

/**
 * Multi-head attention (Vaswani et al. 2017, section 3.2.2): `[B, T, C]` to `[B, T, C]`. The defaults are
 * timm's names, `qkv` and `proj`.
 *
 * @throws {UnfoldError} channels that do not divide among the heads, a tensor that is not `[B, T, C]`
 * @example
 * ```ts ignore
 * attention(x, p.at("self_attn"), { heads: 8, qkv: ["q_proj", "k_proj", "v_proj"], out: "out_proj" });
 * ```
 */
export function attention(x: Tensor, p: Scope, options: AttentionOptions): Tensor {
  const known = given(layer("attention", x, p), options, ATTENTION);
  const { heads, causal = false, mask, scale, window, rotary, qkNorms, memory, out = "proj" } = known;
  if (memory !== undefined && (causal || rotary !== undefined || window !== undefined)) {
    throw new UnfoldError(`${p.path}: attention to a memory is not causal, rotary or within windows`);
  }
  if (memory !== undefined && (known.qkv === undefined || typeof known.qkv === "string")) {
    throw new UnfoldError(`${p.path}: attention to a memory has names for two products or three in qkv`);
  }
  let [q, k, v] = projected(x, p, known);
  if (qkNorms !== undefined) [q, k] = [norm(q, qkNorms[0]), norm(k, qkNorms[1])];
  if (rotary !== undefined) [q, k] = [rotate(q, rotary), rotate(k, rotary)];
  const mixed = scaledDotProductAttention(
    { q, k: repeatHeads(k, heads), v: repeatHeads(v, heads), mask },
    { scale, causal },
  );
  const joined = joinHeads(
    mixed,
    window === undefined ? undefined : [...x.shape.slice(0, 2), mixed.channels * heads],
  );
  const { norm: inner, outBias: bias = true, outCentred: centred = false } = known;
  return linear(inner === undefined ? joined : norm(joined, inner), p.at(out), {
    outputs: fixedChannels(x, p),
    bias,
    centred,
  });
}

/** Queries, keys and values, their heads apart: `[B, H, T, D]`. */
function projected(
  x: Tensor,
  p: Scope,
  { heads, groups = heads, qkv = "qkv", qkvBias = true, memory = x, window, ...rest }: AttentionOptions,
): [q: Tensor, k: Tensor, v: Tensor] {
  const channels = fixedChannels(x, p);
  if (x.shape.length !== 3 || memory.shape.length !== 3) {
    throw new UnfoldError(`${p.path}: attention needs [B, T, C]`);
  }
  if (rest.size === undefined && channels % heads !== 0) {
    throw new UnfoldError(`${p.path}: ${channels} channels do not divide among ${heads} heads`);
  }
  const names = typeof qkv === "string" ? [qkv] : qkv;
  if (typeof qkvBias !== "boolean" && names.length !== 3) {
    throw new UnfoldError(`${p.path}: biases of three products are said where qkv names one of each`);
  }
  const size = rest.size ?? channels / heads;
  const counts = [heads, groups, groups];
  const parts = names.flatMap((name, i) => {
    // The last of fewer names is of all that are left.
    const own = counts.slice(i, i === names.length - 1 ? 3 : i + 1);
    const outputs = own.reduce((sum, count) => sum + count, 0) * size;
    const bias = typeof qkvBias === "boolean" ? qkvBias : qkvBias[i]!;
    const packed = linear(i === 0 ? x : memory, p.at(name), { outputs, bias });
    let start = 0;
    return own.map((count) => {
      const part = own.length === 1 ? packed : packed.slice({ axis: -1, start, size: count * size });
      start += count * size;
      return splitHeads(part, { heads: count, window });
    });
  });
  return parts as [Tensor, Tensor, Tensor];
}

/** Keys and values of earlier tokens. */
export interface KeyValues {
  /** `[B, H, P, D]`. */
  readonly key: Tensor;
  /** `[B, H, P, D]`. */
  readonly value: Tensor;
}

/** What `cachedAttention` takes besides tensor and scope. */
export interface CachedAttentionOptions {
  /** H. */
  readonly heads: number;
  /** The name of the packed product, `[3C, C]` in the order q, k, v. */
  readonly qkv: string;
  /** The name of the last product. */
  readonly out: string;
  /** Of both products; true unless said. */
  readonly bias?: boolean;
  /** What came before. Without it the tokens are the first ones. */
  readonly past?: KeyValues | undefined;
}

/**
 * Causal self-attention of `[B, T, C]` that keeps its keys and values: a prompt is read at once (prefill),
 * and each further token (a step) attends to those before it, which are inputs and outputs of the network.
 *
 * @returns `output [B, T, C]`, and `key` and `value` of all tokens so far, `[B, H, P + T, D]`
 * @throws {UnfoldError} more than one token with a past
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
  const [q, ownKey, ownValue] = projected(x, p, { heads, qkv, qkvBias: bias });
  if (past !== undefined && x.shape[1] !== 1) {
    throw new UnfoldError(`${p.path}: with keys and values of the past, one token is read at a time`);
  }
  const key = past === undefined ? ownKey : concat([past.key, ownKey], { axis: 2 });
  const value = past === undefined ? ownValue : concat([past.value, ownValue], { axis: 2 });
  const mixed = scaledDotProductAttention({ q, k: key, v: value }, { causal: past === undefined });
  return { output: linear(joinHeads(mixed), p.at(out), { outputs: fixedChannels(x, p), bias }), key, value };
}
