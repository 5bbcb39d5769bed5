/**
 * A normalization family: which parameters it owns under its scope and what it is at inference. Offline families end
 * in `p.affine`, which the fold removes; online ones in an operator of their own, which stays.
 */
import { UnfoldError } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { WeightHint } from "../weights/source.ts";

/** What a normalization may ask of the parameter scope it is applied in; the DSL's `Scope` is one. */
export interface NormScope {
  /** A vector of the checkpoint as float64. */
  vector(name: string, length: number, hint: WeightHint): Float64Array;
  /** A parameter as a tensor. */
  param(name: string, shape: readonly number[], hint: WeightHint): Node;
  /** `scale * x + shift` over the last axis, named after this scope. */
  affine(x: Node, options: { scale: Float64Array; shift: Float64Array; family: string }): Node;
  /** The scope's own path: "blocks.0.norm1". */
  readonly path: string;
}

export interface Norm {
  /** The word of `--norm` and of file names: "un". */
  readonly family: NormFamily;
  /** The name in full, for people. */
  readonly label: string;
  /** Whether inference needs no statistics of the input, so that the fold can remove it. */
  readonly offline: boolean;
  /** Keys that training leaves beside the parameters and inference does not read. */
  readonly ignoredKeys: readonly string[];
  /** Normalizes the last axis of `x`, `[..., C]`. */
  apply(x: Node, scope: NormScope): Node;
}

export const NORM_FAMILIES = ["un", "bn", "ln", "rms", "none"] as const;
export type NormFamily = (typeof NORM_FAMILIES)[number];

export interface NormOptions {
  /** Added under the square root; checkpoints do not carry it. */
  readonly epsilon?: number;
}

/** The channel count of a tensor about to be normalized. */
export function channelsOf(x: Node, path: string): number {
  const channels = x.type.shape.at(-1);
  if (typeof channels !== "number") throw new UnfoldError(`${path}: the channel axis must have a fixed size`);
  return channels;
}
