/** Root-mean-square normalization (Zhang and Sennrich 2019), online, without mean; and compressed. */
import { FLAG, optional } from "../ir/given.ts";
import { type NormMaker, normMaker, type NormOptions } from "./define.ts";
import { channelsOf, gainAlone } from "./vectors.ts";

const why = "its statistics depend on the input (each token's quadratic mean)";

/** What RMSNorm takes. */
export interface RmsNormOptions extends NormOptions {
  /** Whether the stored gain is an offset from one, `(1 + weight)`, as in Gemma. */
  readonly gainFromOne?: boolean;
}

/** RMSNorm: `weight x / sqrt(mean(x^2) + epsilon)`, statistics of each token at run time. */
export const rmsNorm: NormMaker<"rms", RmsNormOptions> = normMaker({
  word: "rms",
  maker: "rmsNorm",
  label: "RMSNorm",
  defaults: { epsilon: 1e-6, gainFromOne: false },
  takes: { gainFromOne: optional(FLAG) },
  online: { why, operator: "rms_norm" },
  apply: (x, scope, { epsilon, gainFromOne }) => ({
    of: scope.statistics("rms_norm", x, { epsilon }),
    ...gainAlone(x, scope, { fromOne: gainFromOne }),
  }),
});

/** What CRMSNorm takes. */
export interface CompressedRmsNormOptions extends NormOptions {
  /** Whether there is a gain, `weight` of C - 1 channels; the reference code has it in the next product. */
  readonly gain?: boolean;
}

/**
 * CRMSNorm (Jiang et al. 2023): RMSNorm of a zero-mean vector of C channels of which the last, minus the sum
 * of the others, is not stored: `x / sqrt((sum x_i^2 + (sum x_i)^2) / C + epsilon)` for `x` of C - 1
 * channels.
 */
export const compressedRmsNorm: NormMaker<"crms", CompressedRmsNormOptions> = normMaker({
  word: "crms",
  maker: "compressedRmsNorm",
  label: "CRMSNorm",
  defaults: { epsilon: 1e-5, gain: false },
  takes: { gain: optional(FLAG) },
  online: { why },
  apply: (x, scope, { epsilon, gain }) => {
    const channels = channelsOf(x, scope.path);
    const ones = { scale: new Float64Array(channels).fill(1), shift: new Float64Array(channels) };
    const of = scope.statistics("rms_norm", x, { epsilon, compressed: true });
    return { of, ...(gain ? gainAlone(x, scope) : ones) };
  },
});
