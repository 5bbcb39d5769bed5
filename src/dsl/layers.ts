/**
 * Layers: functions of a tensor and a parameter scope. Default parameter names are those of timm and PyTorch, so that a
 * state dict maps onto the scopes by name; every name can be given.
 */
import { UnfoldError } from "../errors.ts";
import type { Dim } from "../ir/shape.ts";
import { apply } from "../ops/mod.ts";
import type { Scope } from "./scope.ts";
import {
  add,
  concat,
  expand,
  gather,
  gelu,
  reshape,
  scaledDotProductAttention,
  slice,
  type Tensor,
  transpose,
} from "./tensor.ts";

/** The model's normalization over the last axis, with the parameters of `p`. */
export const norm = (x: Tensor, p: Scope): Tensor => p.normalize(x);

/**
 * `x W^T + b`: `[..., C]` to `[..., outputs]`, reading `weight [outputs, C]` and `bias [outputs]`.
 *
 * @example
 * ```ts ignore
 * const logits = linear(x, p.at("head"), { outputs: 10 });
 * ```
 */
export function linear(
  x: Tensor,
  p: Scope,
  { outputs, bias = true }: { outputs: number; bias?: boolean },
): Tensor {
  const weight = p.param("weight", [outputs, fixedChannels(x, p)], { init: "linear" });
  const inputs = bias ? [x, weight, p.param("bias", [outputs], { init: "bias" })] : [x, weight];
  return apply("linear", inputs, { attrs: {}, name: p.path });
}

/** Non-overlapping patches: `[B, c, H, W]` to `[B, H/patch * W/patch, channels]`, a convolution with stride `patch`. */
export function patchEmbedding(
  image: Tensor,
  p: Scope,
  { patch, channels }: { patch: number; channels: number },
): Tensor {
  const colours = image.type.shape[1];
  if (typeof colours !== "number") {
    throw new UnfoldError(`${p.path}: the image's channel axis must have a fixed size`);
  }
  const weight = p.param("weight", [channels, colours, patch, patch], { init: "linear" });
  const bias = p.param("bias", [channels], { init: "bias" });
  const attrs = { stride: [patch, patch], padding: [0, 0] } as const;
  const patches = apply("conv", [image, weight, bias], { attrs, name: p.path });
  const batch = patches.type.shape[0]!;
  return transpose(reshape(patches, [batch, channels, -1]), [0, 2, 1]);
}

/** A learned token `[1, 1, C]` in front of every sequence: `[B, T, C]` to `[B, T + 1, C]`. */
export function prependToken(x: Tensor, token: Tensor): Tensor {
  const [batch, , channels] = x.type.shape as [Dim, Dim, Dim];
  return concat([expand(token, [batch, 1, channels]), x], { axis: 1 });
}

/** Rows of `weight [entries, channels]` by token id. */
export function embedding(
  ids: Tensor,
  p: Scope,
  { entries, channels }: { entries: number; channels: number },
): Tensor {
  return gather(p.param("weight", [entries, channels], { init: "embedding" }), ids);
}

export interface AttentionOptions {
  readonly heads: number;
  /** Names of the projections: one packed `[3C, C]` product in the order q, k, v, or three. */
  readonly qkv?: string | readonly [q: string, k: string, v: string];
  readonly out?: string;
  readonly qkvBias?: boolean;
  readonly outBias?: boolean;
  /** Query t sees keys up to t. */
  readonly causal?: boolean;
  /** Added to the logits; broadcast to `[B, H, T, T]`. */
  readonly mask?: Tensor;
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
  const { heads, qkv = "qkv", out = "proj", qkvBias = true, outBias = true, causal = false, mask } = options;
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
  const [q, k, v] = parts.map((part) => splitHeads(part, heads, p)) as [Tensor, Tensor, Tensor];
  const mixed = scaledDotProductAttention({ q, k, v, ...(mask && { mask }) }, { causal });
  return linear(joinHeads(mixed), p.at(out), { outputs: channels, bias: outBias });
}

/** Multi-head attention over another sequence: queries from `x [B, T, C]`, keys and values from `memory [B, S, C]`. */
export function crossAttention(
  { x, memory }: { x: Tensor; memory: Tensor },
  p: Scope,
  options: Omit<AttentionOptions, "qkv" | "causal"> & { qkv: readonly [q: string, k: string, v: string] },
): Tensor {
  const { heads, qkv, out = "out_proj", qkvBias = true, outBias = true, mask } = options;
  const channels = fixedChannels(x, p);
  const [q, k, v] = qkv.map((name, i) =>
    splitHeads(linear(i === 0 ? x : memory, p.at(name), { outputs: channels, bias: qkvBias }), heads, p)
  ) as [Tensor, Tensor, Tensor];
  const mixed = scaledDotProductAttention({ q, k, v, ...(mask && { mask }) });
  return linear(joinHeads(mixed), p.at(out), { outputs: channels, bias: outBias });
}

export interface MlpOptions {
  readonly hidden: number;
  readonly activation?: (x: Tensor) => Tensor;
  /** Names of the two products. */
  readonly names?: readonly [string, string];
  readonly bias?: boolean;
}

/** Two products with an activation between: `[..., C]` to `hidden` to `[..., C]`. */
export function mlp(
  x: Tensor,
  p: Scope,
  { hidden, activation = gelu, names = ["fc1", "fc2"], bias = true }: MlpOptions,
): Tensor {
  const inner = activation(linear(x, p.at(names[0]), { outputs: hidden, bias }));
  return linear(inner, p.at(names[1]), { outputs: fixedChannels(x, p), bias });
}

/** A pre-norm Transformer block: `x + attention(norm1(x))`, then `x + mlp(norm2(x))`. */
export function block(
  x: Tensor,
  p: Scope,
  options: AttentionOptions & { readonly mlp: MlpOptions },
): Tensor {
  x = add(x, attention(norm(x, p.at("norm1")), p.at("attn"), options));
  return add(x, mlp(norm(x, p.at("norm2")), p.at("mlp"), options.mlp));
}

/** `[B, T, C]` to `[B, H, T, C/H]`. */
function splitHeads(x: Tensor, heads: number, p: Scope): Tensor {
  const [batch, tokens, channels] = x.type.shape as [Dim, Dim, number];
  if (x.type.shape.length !== 3) throw new UnfoldError(`${p.path}: attention needs [B, T, C]`);
  if (!Number.isInteger(heads) || heads < 1 || channels % heads !== 0) {
    throw new UnfoldError(`${p.path}: ${channels} channels do not divide among ${heads} heads`);
  }
  return transpose(reshape(x, [batch, tokens, heads, channels / heads]), [0, 2, 1, 3]);
}

/** `[B, H, T, D]` to `[B, T, H D]`. */
function joinHeads(x: Tensor): Tensor {
  const [batch, heads, tokens, size] = x.type.shape as [Dim, number, Dim, number];
  return reshape(transpose(x, [0, 2, 1, 3]), [batch, tokens, heads * size]);
}

function fixedChannels(x: Tensor, p: Scope): number {
  const channels = x.type.shape.at(-1);
  if (typeof channels !== "number") {
    throw new UnfoldError(`${p.path}: the channel axis must have a fixed size`);
  }
  return channels;
}
