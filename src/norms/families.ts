/**
 * The normalization families, each a record in a file of its own. A family that is not listed here does not
 * exist; one that is has its word for `--norm`, its place in help and schemas, and its files are recognised.
 */
import { affineNorm } from "./affine.ts";
import { batchNorm, batchRenorm } from "./batch.ts";
import type { FamilyNorm, NormMaker } from "./define.ts";
import { dynamicTanh } from "./dynamic_tanh.ts";
import { groupNorm } from "./group.ts";
import { constantLayerNorm, layerNorm } from "./layer.ts";
import { movingAverageBatchNorm } from "./mabn.ts";
import { noNorm } from "./none.ts";
import { powerNorm, powerNormGroupScaling, powerNormV } from "./power.ts";
import { repBatchNorm } from "./prepbn.ts";
import { compressedRmsNorm, rmsNorm } from "./rms.ts";
import { unifiedNorm } from "./unified.ts";

/** The families, in the order of help. */
export const FAMILIES = [
  unifiedNorm,
  batchNorm,
  batchRenorm,
  movingAverageBatchNorm,
  powerNormV,
  powerNorm,
  powerNormGroupScaling,
  repBatchNorm,
  constantLayerNorm,
  layerNorm,
  rmsNorm,
  compressedRmsNorm,
  groupNorm,
  dynamicTanh,
  affineNorm,
  noNorm,
] as const;

/** The word of a normalization family, as `--norm` takes it. */
export type NormFamily = (typeof FAMILIES)[number]["word"];
/** A normalization as a model chooses it: made by `unifiedNorm()` and its like. */
export type Norm = FamilyNorm<NormFamily>;

/** The words of `--norm`, in the order of help. */
export const NORM_FAMILIES: readonly NormFamily[] = FAMILIES.map(({ word }) => word);
/** The normalizations by the words that `--norm` takes: `NORMS.un()`. */
export const NORMS: Readonly<Record<NormFamily, NormMaker<NormFamily>>> = Object.fromEntries(
  FAMILIES.map((family) => [family.word, family]),
) as Record<NormFamily, NormMaker<NormFamily>>;

export {
  affineNorm,
  batchNorm,
  batchRenorm,
  compressedRmsNorm,
  constantLayerNorm,
  dynamicTanh,
  groupNorm,
  layerNorm,
  movingAverageBatchNorm,
  noNorm,
  powerNorm,
  powerNormGroupScaling,
  powerNormV,
  repBatchNorm,
  rmsNorm,
  unifiedNorm,
};
export type { BatchNormOptions, BatchRenormOptions } from "./batch.ts";
export type { FamilyNorm, NormMaker, NormOptions } from "./define.ts";
export type { GroupNormOptions } from "./group.ts";
export type { LayerNormOptions } from "./layer.ts";
export type { GroupScalingOptions } from "./power.ts";
export type { RepBatchNormOptions } from "./prepbn.ts";
export type { CompressedRmsNormOptions, RmsNormOptions } from "./rms.ts";
