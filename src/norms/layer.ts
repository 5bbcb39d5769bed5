/**
 * Layer Normalization (Ba et al. 2016), the reference every offline normalization is measured against, and
 * the form it takes where its deviation has been made a constant.
 */
import { FLAG, optional } from "../ir/given.ts";
import { gainAlone, gainAndShift, type Norm, type NormOptions, normOptions } from "./define.ts";

/** What Layer Normalization takes. */
export interface LayerNormOptions extends NormOptions {
  /** Whether there is a `bias`; nanoGPT and some ViTs have the gain alone. */
  readonly bias?: boolean;
}

/**
 * Layer Normalization: `weight (x - mean) / sqrt(var + epsilon) + bias`, statistics of each token at run
 * time.
 */
export function layerNorm(options: LayerNormOptions = {}): Norm {
  const { epsilon = 1e-5, bias = true } = normOptions("layerNorm", options, { bias: optional(FLAG) });
  return {
    family: "ln",
    label: "Layer Normalization",
    offline: false,
    ignoredKeys: [],
    apply: (x, scope) => {
      const bare = scope.statistics("layer_norm", x, { epsilon });
      const affine = bias ? gainAndShift(x, scope) : gainAlone(x, scope);
      return scope.affine(bare, { ...affine, family: "ln" });
    },
  };
}

/**
 * Layer Normalization with a constant deviation (LN-free GPT-2, Baroni et al. 2025):
 * `weight (x - mean) / d + bias`. Its checkpoints say so by an epsilon beside which no variance counts,
 * `d = sqrt(epsilon)`; 1e12 unless given. Linear, so it folds, and the subtraction of the mean,
 * `I - 11^T / C`, with it.
 */
export function constantLayerNorm(options: NormOptions = {}): Norm {
  const { epsilon = 1e12 } = normOptions("constantLayerNorm", options, {});
  return {
    family: "lnfree",
    label: "Layer Normalization with a constant deviation",
    offline: true,
    ignoredKeys: [],
    apply: (x, scope) => {
      const { scale: gain, shift } = gainAndShift(x, scope);
      const scale = gain.map((g) => g / Math.sqrt(epsilon));
      return scope.affine(x, { scale, shift, family: "lnfree", centred: true });
    },
  };
}
