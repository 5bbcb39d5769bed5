/** The table of normalization families, by the word that `--norm` takes. */
import { batchNorm, batchRenorm } from "./batch.ts";
import type { Norm, NormFamily, NormOptions } from "./define.ts";
import { dynamicTanh } from "./dynamic_tanh.ts";
import { groupNorm } from "./group.ts";
import { constantLayerNorm, layerNorm } from "./layer.ts";
import { movingAverageBatchNorm } from "./mabn.ts";
import { noNorm } from "./none.ts";
import { powerNorm, powerNormGroupScaling, powerNormV } from "./power.ts";
import { repBatchNorm } from "./prepbn.ts";
import { compressedRmsNorm, rmsNorm } from "./rms.ts";
import { unifiedNorm } from "./unified.ts";

/** The normalizations by the words that `--norm` takes: `NORMS.un()`. */
export const NORMS: Readonly<Record<NormFamily, (options?: NormOptions) => Norm>> = {
  un: unifiedNorm,
  bn: batchNorm,
  brn: batchRenorm,
  mabn: movingAverageBatchNorm,
  pnv: powerNormV,
  pn: powerNorm,
  pngs: powerNormGroupScaling,
  prepbn: repBatchNorm,
  lnfree: constantLayerNorm,
  ln: layerNorm,
  rms: rmsNorm,
  crms: compressedRmsNorm,
  gn: groupNorm,
  dyt: dynamicTanh,
  none: noNorm,
};

export {
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
export type { GroupNormOptions } from "./group.ts";
export type { GroupScalingOptions } from "./power.ts";
export type { RepBatchNormOptions } from "./prepbn.ts";
export type { LayerNormOptions } from "./layer.ts";
export type { CompressedRmsNormOptions, RmsNormOptions } from "./rms.ts";
export { haveSameKeys, type Norm, NORM_FAMILIES, type NormFamily, type NormOptions } from "./define.ts";
