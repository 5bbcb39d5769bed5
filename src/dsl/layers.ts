/**
 * Layers: functions of a tensor and a parameter scope. Default parameter names are those of timm and PyTorch,
 * so that a state dict maps onto the scopes by name; every name can be given.
 */
import { UnfoldError } from "../errors.ts";
import { dataOf } from "../ops/constant.ts";
import { affineData } from "../weights/derived/derive.ts";
import {
  argument,
  COUNT,
  either,
  FLAG,
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
import { activated, ACTIVATION, type Activation } from "./activations.ts";
import { mapToTokens } from "./convolution.ts";
import { layer, SCOPE } from "./given.ts";
import { normalized, normScope, type Scope } from "./scope.ts";
import { concat, nodeOf, op, TENSOR, type Tensor, tensorOf } from "./tensor.ts";

/**
 * The model's normalization over the last axis, with the parameters of `p`.
 *
 * @param options.scale a factor on the result: `1 / sqrt(depth)` is LayerNorm Scaling (Sun et al. 2025)
 * @throws {UnfoldError} the root scope, a channel axis of open size, weights without the parameters
 */
export function norm(x: Tensor, p: Scope, options: { readonly scale?: number } = {}): Tensor {
  const { scale = 1 } = given(layer("norm", x, p), options, { scale: optional(NUMBER) });
  return normalized(x, p, scale);
}

/** `gamma x` per channel, `gamma [C]` (CaiT, Touvron et al. 2021): folds into the product that makes `x`. */
export function layerScale(x: Tensor, p: Scope, options: { readonly name?: string } = {}): Tensor {
  const { name = "gamma" } = given(layer("layerScale", x, p), options, { name: optional(TEXT) });
  const channels = fixedChannels(x, p);
  const scope = normScope(p);
  const scale = scope.vector(name, channels, { init: "gain" });
  return tensorOf(
    scope.affine(nodeOf(x), { scale, shift: new Float64Array(channels), family: "layerscale" }),
  );
}

/** What `linear` takes besides tensor and scope. */
export interface LinearOptions {
  /** Channels of the result. */
  readonly outputs: number;
  /** Whether there is a bias; true unless said. */
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
export function linear(x: Tensor, p: Scope, options: LinearOptions): Tensor {
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

/** Non-overlapping patches: `[B, c, H, W]` to `[B, H/patch * W/patch, channels]`, a strided convolution. */
export function patchEmbedding(
  image: Tensor,
  p: Scope,
  options: { readonly patch: number; readonly channels: number; readonly bias?: boolean },
): Tensor {
  const { patch, channels, bias = true } = given(layer("patchEmbedding", image, p), options, {
    patch: COUNT,
    channels: COUNT,
    bias: optional(FLAG),
  });
  const colours = image.shape[1];
  if (typeof colours !== "number") {
    throw new UnfoldError(`${p.path}: the image's channel axis must have a fixed size`);
  }
  const weight = p.param("weight", [channels, colours, patch, patch], { init: "linear" });
  const inputs = bias ? [image, weight, p.param("bias", [channels], { init: "bias" })] : [image, weight];
  const attrs = { stride: [patch, patch], padding: [0, 0] } as const;
  return mapToTokens(op("conv", inputs, { attrs, name: p.path }));
}

/** Learned tokens `[1, N, C]` in front of every sequence: `[B, T, C]` to `[B, T + N, C]`. */
export function prependToken(x: Tensor, tokens: Tensor): Tensor {
  argument("prependToken: x", x, TENSOR);
  argument("prependToken: the token", tokens, TENSOR);
  const [batch, , channels] = x.sizes(3);
  const [, count] = tokens.sizes(3);
  return concat([tokens.expand([batch, count, channels]), x], { axis: 1 });
}

/** Rows of `weight [entries, channels]` by token id: `[B, T]` to `[B, T, channels]`. */
export function embedding(
  ids: Tensor,
  p: Scope,
  options: { readonly entries: number; readonly channels: number },
): Tensor {
  const { entries, channels } = given(layer("embedding", ids, p), options, {
    entries: COUNT,
    channels: COUNT,
  });
  return p.param("weight", [entries, channels]).gather(ids);
}

/** What `mlp` takes besides tensor and scope. */
export interface MlpOptions {
  /** Channels between the two products. */
  readonly hidden: number;
  /** Between them; exact GELU unless said. */
  readonly activation?: Activation | ((x: Tensor) => Tensor);
  /** Names of the two products; `fc1` and `fc2` unless said. */
  readonly names?: readonly [string, string];
  /**
   * Gated, `activation(gate) * value` (Shazeer 2020): the name of the gate's own product beside the first, or
   * which half of the first product is the gate, `{ half: "first" }`.
   */
  readonly gate?: string | { readonly half: "first" | "last" };
  /** Scope of a normalization in front of the second product. */
  readonly norm?: Scope;
  /** Whether the products have biases; true unless said. */
  readonly bias?: boolean;
  /** Whether rows of the second product's weight are centred: `LinearOptions.centred`. */
  readonly outCentred?: boolean;
}

/** Two products with an activation between, gated or not: `[..., C]` to `hidden` to `[..., C]`. */
export function mlp(x: Tensor, p: Scope, options: MlpOptions): Tensor {
  const what = layer("mlp", x, p);
  const known = given(what, options, {
    hidden: COUNT,
    activation: optional(ACTIVATION),
    names: optional(listOf(TEXT, 2)),
    gate: optional(either(TEXT, OBJECT)),
    norm: optional(SCOPE),
    bias: optional(FLAG),
    outCentred: optional(FLAG),
  });
  const { hidden, activation = "gelu", names = ["fc1", "fc2"], gate, bias = true, outCentred = false } =
    known;
  const act = (y: Tensor) => activated(y, activation, { what });
  const product = (name: string, outputs = hidden) => linear(x, p.at(name), { outputs, bias });
  let inner: Tensor;
  if (gate === undefined) {
    inner = act(product(names[0]));
  } else if (typeof gate === "string") {
    inner = act(product(gate)).mul(product(names[0]));
  } else {
    const { half } = partsOf(`${what}: the gate`, gate, { half: oneOf("first", "last") });
    const [first, last] = product(names[0], 2 * hidden).split(2);
    inner = half === "first" ? act(first).mul(last) : first.mul(act(last));
  }
  if (known.norm !== undefined) inner = norm(inner, known.norm);
  return linear(inner, p.at(names[1]), { outputs: fixedChannels(x, p), bias, centred: outCentred });
}

/** The channel count, which a weight of this scope needs to know. */
export function fixedChannels(x: Tensor, p: Scope): number {
  layer("fixedChannels", x, p);
  const channels = x.shape.at(-1);
  if (typeof channels === "number") return channels;
  throw new UnfoldError(`${p.path}: the channel axis must have a fixed size`);
}

/** A weight less each row's mean, `W (I - 11^T / C)`: a constant too, so normalizations fold into it. */
function centredRows(tensor: Tensor): Tensor {
  const weight = nodeOf(tensor);
  if (weight.op !== "constant") {
    throw new UnfoldError(`${weight.name}: rows are centred of a parameter; this weight is computed`);
  }
  const data = affineData(dataOf(weight), { axis: 1, centred: true });
  return tensorOf(constantNode(data, { dtype: weight.type.dtype, name: weight.name }));
}
