/**
 * Root-mean-square normalization (Zhang and Sennrich 2019): online, without mean and shift; and its
 * compressed form.
 */
import { FLAG, optional } from "../ir/given.ts";
import { channelsOf, filled, type Norm, type NormOptions, normOptions } from "./define.ts";

/** What RMSNorm takes. */
export interface RmsNormOptions extends NormOptions {
  /** Whether the stored gain is an offset from one, `(1 + weight)`, as in Gemma. */
  readonly gainFromOne?: boolean;
}

/** RMSNorm: `weight x / sqrt(mean(x^2) + epsilon)`, statistics of each token at run time. */
export function rmsNorm(options: RmsNormOptions = {}): Norm {
  const { epsilon = 1e-6, gainFromOne = false } = normOptions("rmsNorm", options, {
    gainFromOne: optional(FLAG),
  });
  return {
    family: "rms",
    label: "RMSNorm",
    offline: false,
    ignoredKeys: [],
    apply: (x, scope) => {
      const channels = channelsOf(x, scope.path);
      const gain = scope.vector("weight", channels, { init: gainFromOne ? "bias" : "gain" });
      const scale = gainFromOne ? gain.map((g) => 1 + g) : gain;
      const bare = scope.statistics("rms_norm", x, { epsilon });
      return scope.affine(bare, { scale, shift: filled(channels, 0), family: "rms" });
    },
  };
}

/** What CRMSNorm takes. */
export interface CompressedRmsNormOptions extends NormOptions {
  /**
   * Whether there is a gain, `weight` of C - 1 channels. The reference code has none: it is part of the
   * product behind.
   */
  readonly gain?: boolean;
}

/**
 * CRMSNorm (Jiang et al. 2023): RMSNorm of a zero-mean vector of C channels of which the last, minus the sum
 * of the others, is not stored: `x / sqrt((sum x_i^2 + (sum x_i)^2) / C + epsilon)` for `x` of C - 1
 * channels.
 */
export function compressedRmsNorm(options: CompressedRmsNormOptions = {}): Norm {
  const { epsilon = 1e-5, gain = false } = normOptions("compressedRmsNorm", options, {
    gain: optional(FLAG),
  });
  return {
    family: "crms",
    label: "CRMSNorm",
    offline: false,
    ignoredKeys: [],
    apply: (x, scope) => {
      const channels = channelsOf(x, scope.path);
      const scale = gain ? scope.vector("weight", channels, { init: "gain" }) : filled(channels, 1);
      const bare = scope.statistics("rms_norm", x, { epsilon, compressed: true });
      return scope.affine(bare, { scale, shift: filled(channels, 0), family: "crms" });
    },
  };
}
