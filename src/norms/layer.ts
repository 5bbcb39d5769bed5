/**
 * Layer Normalization (Ba et al. 2016), the reference every offline normalization is measured against, and
 * the form it takes where its deviation has been made a constant.
 */
import { FLAG, optional } from "../ir/given.ts";
import { type NormMaker, normMaker, type NormOptions } from "./define.ts";
import { gainAlone, gainAndShift } from "./vectors.ts";

/** What Layer Normalization takes. */
export interface LayerNormOptions extends NormOptions {
  /** Whether there is a `bias`; nanoGPT and some ViTs have the gain alone. */
  readonly bias?: boolean;
}

/** Layer Normalization: `weight (x - mean) / sqrt(var + epsilon) + bias`, of each token at run time. */
export const layerNorm: NormMaker<"ln", LayerNormOptions> = normMaker({
  word: "ln",
  maker: "layerNorm",
  label: "Layer Normalization",
  defaults: { epsilon: 1e-5, bias: true },
  takes: { bias: optional(FLAG) },
  online: {
    why: "its statistics depend on the input (each token's mean and variance)",
    operator: "layer_norm",
  },
  apply: (x, scope, { epsilon, bias }) => ({
    of: scope.statistics("layer_norm", x, { epsilon }),
    ...(bias ? gainAndShift : gainAlone)(x, scope),
  }),
});

/**
 * Layer Normalization with a constant deviation (LN-free GPT-2, Baroni et al. 2025):
 * `weight (x - mean) / d + bias`. Its checkpoints say so by an epsilon beside which no variance counts,
 * `d = sqrt(epsilon)`; 1e12 unless given. Linear, so it folds, and the subtraction of the mean,
 * `I - 11^T / C`, with it.
 */
export const constantLayerNorm: NormMaker<"lnfree"> = normMaker({
  word: "lnfree",
  maker: "constantLayerNorm",
  label: "Layer Normalization with a constant deviation",
  defaults: { epsilon: 1e12 },
  folds: "mean included, not post-norm",
  alike: "ln",
  apply: (x, scope, { epsilon }) => {
    const { scale: gain, shift } = gainAndShift(x, scope);
    return { scale: gain.map((g) => g / Math.sqrt(epsilon)), shift, centred: true };
  },
});
