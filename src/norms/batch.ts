/** Batch Normalization over tokens' channels, and Batch Renormalization, which differs in training only. */
import { FLAG, oneOf, optional } from "../ir/given.ts";
import { type NormMaker, normMaker, type NormOptions } from "./define.ts";
import { byBatchStatistics } from "./vectors.ts";

const ignoredKeys = ["num_batches_tracked"];

const TOKEN_EPSILON = 1e-5;

/** What Batch Normalization takes. */
export interface BatchNormOptions extends NormOptions {
  /**
   * Whether each token is divided by its quadratic mean first, `x / sqrt(mean(x^2) + 1e-5)`, as in the Batch
   * Normalization that PowerNorm's reference code compares with. That depends on the input and stays.
   */
  readonly scaled?: boolean;
}

/**
 * Batch Normalization (Ioffe and Szegedy 2015) at inference: `s = weight / sqrt(running_var + epsilon)`,
 * `t = bias - s running_mean` (equation 1 of the Unified Normalization paper).
 */
export const batchNorm: NormMaker<"bn", BatchNormOptions> = normMaker({
  word: "bn",
  maker: "batchNorm",
  label: "Batch Normalization",
  defaults: { epsilon: 1e-5, scaled: false },
  takes: { scaled: optional(FLAG) },
  form: ({ scaled }) => scaled ? { label: "Batch Normalization of scaled tokens", offline: false } : {},
  proofs: [{ tensors: ["running_mean"] }],
  ignoredKeys,
  apply: (x, scope, { epsilon, scaled }) => ({
    of: scaled ? scope.statistics("rms_norm", x, { epsilon: TOKEN_EPSILON }) : x,
    ...byBatchStatistics(x, scope, { epsilon }),
  }),
});

/** What Batch Renormalization takes. */
export interface BatchRenormOptions extends NormOptions {
  /** The statistic in the file: `running_var` by default, or `running_std`, to which no epsilon is added. */
  readonly running?: "variance" | "deviation";
}

/**
 * Batch Renormalization (Ioffe 2017) at inference: Batch Normalization. Its Algorithm 1 keeps a deviation
 * with epsilon already in it, `s = weight / running_std`; other implementations keep `running_var` as Batch
 * Normalization does.
 */
export const batchRenorm: NormMaker<"brn", BatchRenormOptions> = normMaker({
  word: "brn",
  maker: "batchRenorm",
  label: "Batch Renormalization",
  defaults: { epsilon: 1e-5, running: "variance" },
  takes: { running: optional(oneOf("variance", "deviation")) },
  alike: "bn",
  proofs: [{ tensors: ["running_mean", "running_std"], options: { running: "deviation" } }],
  ignoredKeys,
  apply: byBatchStatistics,
});
