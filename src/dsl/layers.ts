/**
 * Layers: functions of a tensor and a parameter scope. Default parameter names are those of timm and PyTorch,
 * so that a state dict maps onto the scopes by name; every name can be given.
 */
import { UnfoldError } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import { axisIn } from "../ir/shape.ts";
import type { Norm } from "../norms/families.ts";
import { affineData, type HeadRows, regroupedData } from "../weights/derived/derive.ts";
import {
  argument,
  COUNT,
  either,
  FLAG,
  given,
  INDEX,
  listOf,
  NUMBER,
  OBJECT,
  oneOf,
  optional,
  partsOf,
  TEXT,
} from "../ir/given.ts";
import { activated, ACTIVATION, type Activation } from "./activations.ts";
import { layer, SCOPE } from "./given.ts";
import { alongAxis, biasOf, normalized, normScope, type Scope, valuesOf, withData } from "./scope.ts";
import { NORM } from "./spec.ts";
import { concat, nodeOf, op, TENSOR, type Tensor, tensorOf } from "./tensor.ts";

/** What `norm` takes besides tensor and scope. */
export interface NormalizationOptions {
  /** A factor on the result: `1 / sqrt(depth)` is LayerNorm Scaling (Sun et al. 2025). */
  readonly scale?: number;
  /** The axis of the channels; the last unless said, 1 of a map `[B, C, H, W]`. */
  readonly axis?: number;
  /** A normalization that stands here whatever the model's is. */
  readonly family?: Norm;
  /** Where it follows a product that is regrouped: `LinearOptions.regroup`. */
  readonly regroup?: HeadRows;
}

/**
 * The model's normalization over the channels, with the parameters of `p`.
 *
 * @throws {UnfoldError} the root scope, a channel axis of open size, weights without the parameters
 */
export function norm(x: Tensor, p: Scope, options: NormalizationOptions = {}): Tensor {
  const what = layer("norm", x, p);
  const { scale, axis = -1, family, regroup } = given(what, options, {
    scale: optional(NUMBER),
    axis: optional(INDEX),
    family: optional(NORM),
    regroup: optional(OBJECT),
  });
  const rows = regroup && headRows(what, regroup);
  return normalized(x, p, { axis, gain: scale, regroup: rows, ...(family && { family }) });
}

/** What `layerScale` takes besides tensor and scope. */
export interface LayerScaleOptions {
  /** The name of the gain; `gamma` unless said. */
  readonly name?: string;
  /** The axis of the channels; the last unless said. */
  readonly axis?: number;
  /** A parameter of C numbers that is added, as CaiT's class token is to what it becomes. */
  readonly shift?: Tensor;
}

/** `gamma x` per channel, `gamma [C]` (CaiT, Touvron et al. 2021): folds into the product that makes `x`. */
export function layerScale(x: Tensor, p: Scope, options: LayerScaleOptions = {}): Tensor {
  const what = layer("layerScale", x, p);
  const known = given(what, options, {
    name: optional(TEXT),
    axis: optional(INDEX),
    shift: optional(TENSOR),
  });
  const { name = "gamma", axis = -1 } = known;
  const scope = normScope(p);
  const scaled = (moved: Node) => {
    const channels = fixedChannels(tensorOf(moved), p);
    const scale = scope.vector(name, channels, { init: "gain" });
    if (known.shift === undefined) {
      return scope.affine(moved, { scale, shift: new Float64Array(channels), family: "layerscale" });
    }
    const shift = valuesOf(known.shift);
    if (shift.length !== channels) {
      throw new UnfoldError(`${p.path}: a shift of ${shift.length} numbers for ${channels} channels`);
    }
    return scope.affine(moved, { scale, shift, family: "affine" });
  };
  return tensorOf(alongAxis(nodeOf(x), axisIn(axis, x.shape.length, what), scaled));
}

function headRows(what: string, rows: HeadRows): HeadRows {
  return partsOf(`${what}: regroup`, rows, { heads: COUNT, sizes: listOf(COUNT) });
}

/** What `linear` takes besides tensor and scope. */
export interface LinearOptions {
  /** Channels of the result. */
  readonly outputs: number;
  /** Whether there is a bias, or what it is where it is not stored; true unless said. */
  readonly bias?: boolean | Tensor;
  /** Rows that are stored head by head, as GPT-NeoX has them, become all queries, all keys, all values. */
  readonly regroup?: HeadRows;
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
  const what = layer("linear", x, p);
  const { outputs, bias = true, centred = false, tied, regroup } = given(what, options, {
    outputs: COUNT,
    bias: optional(either(FLAG, TENSOR)),
    centred: optional(FLAG),
    tied: optional(TENSOR),
    regroup: optional(OBJECT),
  });
  const rows = regroup && headRows(what, regroup);
  const made = (stored: Tensor) =>
    rows === undefined ? stored : withData(stored, (data) => regroupedData(data, rows));
  if (tied !== undefined && tied.shape[0] !== outputs) {
    throw new UnfoldError(`${what}: the tied weight has ${tied.shape[0]} rows, and outputs are ${outputs}`);
  }
  const stored = made(tied ?? p.param("weight", [outputs, fixedChannels(x, p)], { init: "linear" }));
  const weight = centred ? withData(stored, (data) => affineData(data, { axis: 1, centred: true })) : stored;
  const inputs = [x, weight, ...bias === false ? [] : [made(biasOf(bias, p, outputs))]];
  return op("linear", inputs, { attrs: {}, name: p.path });
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
