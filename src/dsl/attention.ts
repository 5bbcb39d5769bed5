/** Multi-head attention as a layer: projections, heads apart and together again. The operator itself is in `src/ops`. */
import { UnfoldError } from "../errors.ts";
import { argument, COUNT, given } from "../ir/given.ts";
import { type Dim, type Shape, showShape } from "../ir/shape.ts";
import { ATTENTION, layer, TENSOR, THREE_NAMES } from "./given.ts";
import { fixedChannels, linear, norm } from "./layers.ts";
import type { Scope } from "./scope.ts";
import { expand, reshape, scaledDotProductAttention, slice, type Tensor, transpose } from "./tensor.ts";

export interface AttentionOptions {
  readonly heads: number;
  /** Names of the projections: one packed `[3C, C]` product in the order q, k, v, or three. */
  readonly qkv?: string | readonly [q: string, k: string, v: string];
  readonly out?: string;
  readonly qkvBias?: boolean;
  readonly outBias?: boolean;
  /** Whether rows of the output projection's weight are centred: `LinearOptions.centred`. */
  readonly outCentred?: boolean;
  /** Factor on the logits; 1 / sqrt(C / heads) unless said. */
  readonly scale?: number;
  /** Query t sees keys up to t. */
  readonly causal?: boolean;
  /** Added to the logits; broadcast to `[B, H, T, T]`. Within windows: `[H, window, window]`, or of each window of T. */
  readonly mask?: Tensor;
  /** Scope of a normalization in front of the output projection (BEiT-3, Magneto). */
  readonly norm?: Scope;
  /** Attends within windows of so many tokens that lie together, rather than over all T. */
  readonly window?: number;
}

/**
 * Multi-head self-attention: `[B, T, C]` to `[B, T, C]`. The defaults are timm's names, `qkv` and `proj`.
 *
 * @example
 * ```ts ignore
 * attention(x, p.at("self_attn"), { heads: 8, qkv: ["q_proj", "k_proj", "v_proj"], out: "out_proj" });
 * ```
 */
export function attention(x: Tensor, p: Scope, options: AttentionOptions): Tensor {
  const known = given(layer("attention", x, p), options, ATTENTION);
  const { heads, qkv = "qkv", out = "proj", qkvBias = true, causal = false, mask, scale, window } = known;
  const channels = fixedChannels(x, p);
  const third = (packed: Tensor, i: number) =>
    slice(packed, { axis: -1, start: i * channels, end: (i + 1) * channels });
  let parts: readonly Tensor[];
  if (typeof qkv === "string") {
    const packed = linear(x, p.at(qkv), { outputs: 3 * channels, bias: qkvBias });
    parts = [0, 1, 2].map((i) => third(packed, i));
  } else {
    parts = qkv.map((name) => linear(x, p.at(name), { outputs: channels, bias: qkvBias }));
  }
  const [q, k, v] = parts.map((part) => splitHeads(part, heads, p, window)) as [Tensor, Tensor, Tensor];
  const mixed = scaledDotProductAttention(
    { q, k, v, ...(mask && { mask }) },
    { causal, ...(scale !== undefined && { scale }) },
  );
  const joined = joinHeads(mixed, x.type.shape);
  return projected(known.norm === undefined ? joined : norm(joined, known.norm), p.at(out), known);
}

/** Multi-head attention over another sequence: queries from `x [B, T, C]`, keys and values from `memory [B, S, C]`. */
export function crossAttention(
  inputs: { x: Tensor; memory: Tensor },
  p: Scope,
  options: Omit<AttentionOptions, "qkv" | "causal" | "norm" | "scale" | "window"> & {
    qkv: readonly [q: string, k: string, v: string];
  },
): Tensor {
  const { x, memory } = given("crossAttention", inputs, { x: TENSOR, memory: TENSOR });
  const { causal: _causal, norm: _norm, scale: _scale, window: _window, ...kinds } = ATTENTION;
  const known = given(layer("crossAttention", x, p), options, { ...kinds, qkv: THREE_NAMES });
  const { heads, qkv, out = "out_proj", qkvBias = true, mask } = known;
  const channels = fixedChannels(x, p);
  const [q, k, v] = qkv.map((name, i) =>
    splitHeads(linear(i === 0 ? x : memory, p.at(name), { outputs: channels, bias: qkvBias }), heads, p)
  ) as [Tensor, Tensor, Tensor];
  const mixed = scaledDotProductAttention({ q, k, v, ...(mask && { mask }) });
  return projected(joinHeads(mixed), p.at(out), known);
}

function projected(
  x: Tensor,
  p: Scope,
  { outBias = true, outCentred = false }: Partial<AttentionOptions>,
): Tensor {
  return linear(x, p, { outputs: fixedChannels(x, p), bias: outBias, centred: outCentred });
}

/** `[B, T, C]` to `[B, H, T, C/H]`; within windows of W tokens to `[B T/W, H, W, C/H]`. */
export function splitHeads(x: Tensor, heads: number, p: Scope, window?: number): Tensor {
  const what = layer("splitHeads", x, p);
  if (window !== undefined) argument(`${what}: the window`, window, COUNT);
  const [batch, tokens, channels] = x.type.shape as [Dim, Dim, number];
  if (x.type.shape.length !== 3) throw new UnfoldError(`${p.path}: attention needs [B, T, C]`);
  argument(`${what}: heads`, heads, COUNT);
  if (typeof channels !== "number" || channels % heads !== 0) {
    throw new UnfoldError(`${p.path}: ${channels} channels do not divide among ${heads} heads`);
  }
  const lead = window === undefined ? [batch, tokens] : [-1, window];
  return transpose(reshape(x, [...lead, heads, channels / heads]), [0, 2, 1, 3]);
}

/** `[B, H, T, D]` to `[B, T, H D]`; of windows to the tokens' `shape`. */
export function joinHeads(x: Tensor, shape?: Shape): Tensor {
  requireHeads("joinHeads", x);
  const [batch, heads, tokens, size] = x.type.shape as [Dim, number, Dim, number];
  return reshape(transpose(x, [0, 2, 1, 3]), shape ?? [batch, tokens, heads * size]);
}

/**
 * Grouped heads (Ainslie et al. 2023): each of the G heads of `[B, G, T, D]` serves `heads / G` query heads that stand
 * beside each other, so it is repeated that often: `[B, heads, T, D]`.
 */
export function repeatHeads(x: Tensor, heads: number): Tensor {
  requireHeads("repeatHeads", x);
  argument("repeatHeads: heads", heads, COUNT);
  const [batch, groups, tokens, size] = x.type.shape as [Dim, number, Dim, number];
  if (groups === heads) return x;
  if (heads % groups !== 0) {
    throw new UnfoldError(`${x.name}: ${heads} query heads do not divide among ${groups} key heads`);
  }
  const apart = reshape(x, [batch, groups, 1, tokens, size]);
  return reshape(expand(apart, [batch, groups, heads / groups, tokens, size]), [batch, heads, tokens, size]);
}

function requireHeads(what: string, x: Tensor): void {
  argument(`${what}: x`, x, TENSOR);
  const { shape } = x.type;
  if (shape.length === 4 && typeof shape[1] === "number" && typeof shape[3] === "number") return;
  throw new UnfoldError(
    `${x.name}: ${what} needs [B, H, T, D] with a fixed number of heads and a fixed size, not ${
      showShape(shape)
    }`,
  );
}
