/**
 * Layers: functions of a tensor and a parameter scope. Default parameter names are those of timm and PyTorch, so that a
 * state dict maps onto the scopes by name; every name can be given.
 */
import { UnfoldError } from "../errors.ts";
import type { Dim } from "../ir/shape.ts";
import { dataOf } from "../ops/constant.ts";
import { affineData } from "../weights/derived/derive.ts";
import {
  argument,
  COUNT,
  either,
  FLAG,
  FUNCTION,
  given,
  listOf,
  NUMBER,
  OBJECT,
  oneOf,
  optional,
  partsOf,
  TEXT,
} from "../ir/given.ts";
import { constantNode } from "../ops/table.ts";
import { layer, op, SCOPE, TENSOR } from "./given.ts";
import type { Scope } from "./scope.ts";
import { concat, expand, gather, gelu, mul, reshape, slice, type Tensor, transpose } from "./tensor.ts";

/**
 * The model's normalization over the last axis, with the parameters of `p`.
 *
 * @param options.scale a factor on the result: `1 / sqrt(depth)` is LayerNorm Scaling (Sun et al. 2025)
 */
export function norm(x: Tensor, p: Scope, options: { scale?: number } = {}): Tensor {
  const what = layer("norm", x, p);
  return p.normalize(x, given(what, options, { scale: optional(NUMBER) }));
}

/** `gamma x` per channel, `gamma [C]` (CaiT, Touvron et al. 2021): folds into the product that makes `x`. */
export function layerScale(x: Tensor, p: Scope, options: { name?: string } = {}): Tensor {
  const { name = "gamma" } = given(layer("layerScale", x, p), options, { name: optional(TEXT) });
  const channels = fixedChannels(x, p);
  const scale = p.vector(name, channels, { init: "gain" });
  return p.affine(x, { scale, shift: new Float64Array(channels), family: "layerscale" });
}

export interface LinearOptions {
  readonly outputs: number;
  readonly bias?: boolean;
  /** Subtracts from each row of the weight its mean, as MABN's training does without storing it. */
  readonly centred?: boolean;
  /** The weight, where it is another layer's: the embedding's, for a head that is tied to it. */
  readonly tied?: Tensor;
}

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
  options: LinearOptions,
): Tensor {
  const { outputs, bias = true, centred = false, tied } = given(layer("linear", x, p), options, {
    outputs: COUNT,
    bias: optional(FLAG),
    centred: optional(FLAG),
    tied: optional(TENSOR),
  });
  const stored = tied ?? p.param("weight", [outputs, fixedChannels(x, p)], { init: "linear" });
  const weight = centred ? centredRows(stored) : stored;
  const inputs = bias ? [x, weight, p.param("bias", [outputs], { init: "bias" })] : [x, weight];
  return op("linear", inputs, { attrs: {}, name: p.path });
}

/** Non-overlapping patches: `[B, c, H, W]` to `[B, H/patch * W/patch, channels]`, a convolution with stride `patch`. */
export function patchEmbedding(
  image: Tensor,
  p: Scope,
  options: { patch: number; channels: number; bias?: boolean },
): Tensor {
  const { patch, channels, bias = true } = given(layer("patchEmbedding", image, p), options, {
    patch: COUNT,
    channels: COUNT,
    bias: optional(FLAG),
  });
  const colours = image.type.shape[1];
  if (typeof colours !== "number") {
    throw new UnfoldError(`${p.path}: the image's channel axis must have a fixed size`);
  }
  const weight = p.param("weight", [channels, colours, patch, patch], { init: "linear" });
  const inputs = bias ? [image, weight, p.param("bias", [channels], { init: "bias" })] : [image, weight];
  const attrs = { stride: [patch, patch], padding: [0, 0] } as const;
  const patches = op("conv", inputs, { attrs, name: p.path });
  const batch = patches.type.shape[0]!;
  return transpose(reshape(patches, [batch, channels, -1]), [0, 2, 1]);
}

/** Learned tokens `[1, N, C]` in front of every sequence: `[B, T, C]` to `[B, T + N, C]`. */
export function prependToken(x: Tensor, tokens: Tensor): Tensor {
  argument("prependToken: x", x, TENSOR);
  argument("prependToken: the token", tokens, TENSOR);
  if (x.type.shape.length !== 3) {
    throw new UnfoldError(`${x.name}: prependToken needs [B, T, C], not [${x.type.shape.join(", ")}]`);
  }
  const [batch, , channels] = x.type.shape as [Dim, Dim, Dim];
  return concat([expand(tokens, [batch, tokens.type.shape[1]!, channels]), x], { axis: 1 });
}

/** Rows of `weight [entries, channels]` by token id. */
export function embedding(
  ids: Tensor,
  p: Scope,
  options: { entries: number; channels: number },
): Tensor {
  const { entries, channels } = given(layer("embedding", ids, p), options, {
    entries: COUNT,
    channels: COUNT,
  });
  return gather(p.param("weight", [entries, channels], { init: "embedding" }), ids);
}

export interface MlpOptions {
  readonly hidden: number;
  readonly activation?: (x: Tensor) => Tensor;
  /** Names of the two products. */
  readonly names?: readonly [string, string];
  /**
   * Gated, `activation(gate) * value` (Shazeer 2020): the name of the gate's own product beside the first, or which half
   * of the first product is the gate, `{ half: "first" }`.
   */
  readonly gate?: string | { readonly half: "first" | "last" };
  /** Scope of a normalization in front of the second product. */
  readonly norm?: Scope;
  readonly bias?: boolean;
  /** Whether rows of the second product's weight are centred: `LinearOptions.centred`. */
  readonly outCentred?: boolean;
}

/** Two products with an activation between, gated or not: `[..., C]` to `hidden` to `[..., C]`. */
export function mlp(
  x: Tensor,
  p: Scope,
  options: MlpOptions,
): Tensor {
  const what = layer("mlp", x, p);
  const known = given(what, options, {
    hidden: COUNT,
    activation: optional(FUNCTION),
    names: optional(listOf(TEXT, 2)),
    gate: optional(either(TEXT, OBJECT)),
    norm: optional(SCOPE),
    bias: optional(FLAG),
    outCentred: optional(FLAG),
  });
  const { hidden, activation = gelu, names = ["fc1", "fc2"], gate, bias = true, outCentred = false } = known;
  const activated = (y: Tensor) => {
    const active = activation(y);
    argument(`${what}: what the activation returns`, active, TENSOR);
    return active;
  };
  const product = (name: string, outputs = hidden) => linear(x, p.at(name), { outputs, bias });
  let inner: Tensor;
  if (gate === undefined) {
    inner = activated(product(names[0]));
  } else if (typeof gate === "string") {
    inner = mul(activated(product(gate)), product(names[0]));
  } else {
    const { half } = partsOf(`${what}: the gate`, gate, { half: oneOf("first", "last") });
    const packed = product(names[0], 2 * hidden);
    const [first, last] = [0, hidden].map((start) => slice(packed, { axis: -1, start, size: hidden })) as [
      Tensor,
      Tensor,
    ];
    inner = half === "first" ? mul(activated(first), last) : mul(first, activated(last));
  }
  if (known.norm !== undefined) inner = norm(inner, known.norm);
  return linear(inner, p.at(names[1]), { outputs: fixedChannels(x, p), bias, centred: outCentred });
}

/** The channel count, which a weight needs to know. */
export function fixedChannels(x: Tensor, p: Scope): number {
  layer("fixedChannels", x, p);
  const channels = x.type.shape.at(-1);
  if (typeof channels !== "number") {
    throw new UnfoldError(`${p.path}: the channel axis must have a fixed size`);
  }
  return channels;
}

/** A weight less the mean of each row, `W (I - 11^T / C)`: a constant too, so that normalizations fold into it. */
function centredRows(weight: Tensor): Tensor {
  if (weight.op !== "constant") {
    throw new UnfoldError(`${weight.name}: rows are centred of a parameter; this weight is computed`);
  }
  const { dtype } = weight.type;
  return constantNode(affineData(dataOf(weight), { axis: 1, centred: true }), { dtype, name: weight.name });
}
