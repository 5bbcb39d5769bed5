/**
 * A normalization family: which parameters it owns under its scope and what it is at inference. Every family
 * ends in `scope.affine`, one gain and shift per channel, which the fold moves into the products around it.
 * Of an offline family that is all; an online one has an operator in front of it, which stays.
 */
import { UnfoldError } from "../errors.ts";
import { EPSILON, given, type Kind, optional } from "../ir/given.ts";
import type { Node } from "../ir/graph.ts";
import type { DynamicTanhAttrs } from "../ops/dynamic_tanh.ts";
import type { GroupNormAttrs } from "../ops/group_norm.ts";
import type { NormAttrs } from "../ops/layer_norm.ts";
import type { RmsNormAttrs } from "../ops/rms_norm.ts";
import type { WeightHint } from "../weights/source.ts";

/** What a normalization may ask of the parameter scope it is applied in; the DSL's `Scope` is one. */
export interface NormScope {
  /** A vector of the checkpoint as float64; axes of size 1 around it do not count. */
  vector(name: string, length: number, hint: WeightHint): Float64Array;
  /**
   * The part of a normalization that depends on the input, as an operator of its own; the gain and shift come
   * behind it.
   */
  statistics<Op extends StatisticsOp>(op: Op, x: Node, attrs: Omit<StatisticsAttrs[Op], "norm">): Node;
  /** `scale * x + shift` over the last axis, named after this scope; `centred`: of `x - mean x`. */
  affine(x: Node, options: AffineOptions): Node;
  /** The scope's own path: "blocks.0.norm1". */
  readonly path: string;
}

/** Operators with statistics at run time, or a nonlinearity in their place, with their attributes. */
export interface StatisticsAttrs {
  readonly layer_norm: NormAttrs;
  readonly rms_norm: RmsNormAttrs;
  readonly group_norm: GroupNormAttrs;
  readonly dynamic_tanh: DynamicTanhAttrs;
}
export type StatisticsOp = keyof StatisticsAttrs;

export interface AffineOptions {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
  readonly family: NormFamily | "layerscale";
  readonly centred?: boolean;
}

/** A normalization as a model chooses it: made by `unifiedNorm()` and its like. */
export interface Norm {
  /** The word of `--norm` and of file names: "un". */
  readonly family: NormFamily;
  /** The name in full, for people. */
  readonly label: string;
  /** Whether inference needs no statistics of the input, so that the fold can remove it. */
  readonly offline: boolean;
  /** Keys that training leaves beside the parameters and inference does not read. */
  readonly ignoredKeys: readonly string[];
  /**
   * Normalizes the last axis of `x`, `[..., C]`.
   *
   * @internal
   */
  apply(x: Node, scope: NormScope): Node;
}

/** The words of `--norm`, in the order of help. */
export const NORM_FAMILIES = [
  "un",
  "bn",
  "brn",
  "mabn",
  "pnv",
  "pn",
  "pngs",
  "prepbn",
  "lnfree",
  "ln",
  "rms",
  "crms",
  "gn",
  "dyt",
  "none",
] as const;
/** The word of a normalization family, as `--norm` takes it. */
export type NormFamily = (typeof NORM_FAMILIES)[number];

/**
 * Families whose checkpoints have the same keys, so that only the user can say which of them a file was
 * trained with.
 */
const ALIKE: readonly (readonly NormFamily[])[] = [["un", "mabn"], ["bn", "brn"], ["pn", "pnv", "pngs"]];

/** Whether a file of one family can be read as one of the other. */
export function haveSameKeys(a: NormFamily, b: NormFamily): boolean {
  return a === b || ALIKE.some((group) => group.includes(a) && group.includes(b));
}

/** What every normalization takes. */
export interface NormOptions {
  /** Added under the square root; checkpoints do not carry it. */
  readonly epsilon?: number;
}

/** The options of every family, each of its kind; `more` are the family's own. */
export function normOptions<Options extends NormOptions>(
  norm: string,
  options: Options,
  more: { readonly [option in Exclude<keyof Options, "epsilon">]-?: Kind },
): Options {
  return given(
    norm,
    options,
    { epsilon: optional(EPSILON), ...more } as { [option in keyof Required<Options>]: Kind },
  );
}

/** The channel count of a tensor about to be normalized. */
export function channelsOf(x: Node, path: string): number {
  const channels = x.type.shape.at(-1);
  if (typeof channels !== "number") throw new UnfoldError(`${path}: the channel axis must have a fixed size`);
  return channels;
}

/** The `weight` and `bias` that most families end in, in float64. */
export function gainAndShift(x: Node, scope: NormScope): { scale: Float64Array; shift: Float64Array } {
  const channels = channelsOf(x, scope.path);
  return {
    scale: scope.vector("weight", channels, { init: "gain" }),
    shift: scope.vector("bias", channels, { init: "bias" }),
  };
}

/** The `weight` of a family member without a shift, in float64. */
export function gainAlone(x: Node, scope: NormScope): { scale: Float64Array; shift: Float64Array } {
  const channels = channelsOf(x, scope.path);
  return { scale: scope.vector("weight", channels, { init: "gain" }), shift: filled(channels, 0) };
}

/** A vector of one value, for families that have no gain or no shift. */
export function filled(channels: number, value: number): Float64Array {
  return new Float64Array(channels).fill(value);
}
