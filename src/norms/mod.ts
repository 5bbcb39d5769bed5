/** The table of normalization families, by the word that `--norm` takes. */
import { batchNorm } from "./batch.ts";
import type { Norm, NormFamily, NormOptions } from "./define.ts";
import { layerNorm } from "./layer.ts";
import { noNorm } from "./none.ts";
import { rmsNorm } from "./rms.ts";
import { unifiedNorm } from "./unified.ts";

export const NORMS: Readonly<Record<NormFamily, (options?: NormOptions) => Norm>> = {
  un: unifiedNorm,
  bn: batchNorm,
  ln: layerNorm,
  rms: rmsNorm,
  none: noNorm,
};

export { batchNorm, layerNorm, noNorm, rmsNorm, unifiedNorm };
export { type Norm, NORM_FAMILIES, type NormFamily, type NormOptions } from "./define.ts";
