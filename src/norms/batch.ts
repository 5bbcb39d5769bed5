/**
 * Batch Normalization over the channels of tokens, and Batch Renormalization, which differs from it in
 * training only.
 */
import { FLAG, oneOf, optional } from "../ir/given.ts";
import type { Node } from "../ir/graph.ts";
import { channelsOf, type Norm, type NormOptions, normOptions, type NormScope } from "./define.ts";

/** What Batch Normalization takes. */
export interface BatchNormOptions extends NormOptions {
  /**
   * Whether each token is divided by its quadratic mean first, `x / sqrt(mean(x^2) + 1e-5)`, as in the Batch
   * Normalization that PowerNorm's reference code compares with. That depends on the input and stays.
   */
  readonly scaled?: boolean;
}

/** What Batch Renormalization takes. */
export interface BatchRenormOptions extends NormOptions {
  /**
   * Which statistic the file holds: `running_var`, unless said, or `running_std`, to which no epsilon is
   * added.
   */
  readonly running?: "variance" | "deviation";
}

/** Scale and shift of Batch Normalization from the parameters in a scope, at `prefix` in it. */
export function batchNormVectors(
  x: Node,
  scope: NormScope,
  { epsilon, prefix = "", running = "variance" }: {
    epsilon: number;
    prefix?: string;
    running?: BatchRenormOptions["running"];
  },
): { scale: Float64Array; shift: Float64Array } {
  const channels = channelsOf(x, scope.path);
  const vector = (name: string) => `${prefix}${name}`;
  const gain = scope.vector(vector("weight"), channels, { init: "gain" });
  const bias = scope.vector(vector("bias"), channels, { init: "bias" });
  const mean = scope.vector(vector("running_mean"), channels, { init: "bias" });
  const deviation = running === "deviation"
    ? scope.vector(vector("running_std"), channels, { init: "variance", nonNegative: true })
    : scope.vector(vector("running_var"), channels, { init: "variance", nonNegative: true })
      .map((variance) => Math.sqrt(variance + epsilon));
  const scale = gain.map((g, c) => g / deviation[c]!);
  return { scale, shift: bias.map((b, c) => b - scale[c]! * mean[c]!) };
}

const TOKEN_EPSILON = 1e-5;

function byBatchStatistics(
  family: "bn" | "brn",
  label: string,
  { epsilon = 1e-5, running = "variance", scaled = false }: BatchRenormOptions & BatchNormOptions,
): Norm {
  return {
    family,
    label,
    offline: !scaled,
    ignoredKeys: ["num_batches_tracked"],
    apply: (x, scope) => {
      const tokens = scaled ? scope.statistics("rms_norm", x, { epsilon: TOKEN_EPSILON }) : x;
      return scope.affine(tokens, { ...batchNormVectors(x, scope, { epsilon, running }), family });
    },
  };
}

/**
 * Batch Normalization (Ioffe and Szegedy 2015) at inference: `s = weight / sqrt(running_var + epsilon)`,
 * `t = bias - s running_mean` (equation 1 of the Unified Normalization paper).
 */
export function batchNorm(options: BatchNormOptions = {}): Norm {
  const known = normOptions("batchNorm", options, { scaled: optional(FLAG) });
  const label = known.scaled ? "Batch Normalization of scaled tokens" : "Batch Normalization";
  return byBatchStatistics("bn", label, known);
}

/**
 * Batch Renormalization (Ioffe 2017) at inference: Batch Normalization. Its Algorithm 1 keeps a deviation
 * with epsilon already in it, `s = weight / running_std`; other implementations keep `running_var` as Batch
 * Normalization does.
 */
export const batchRenorm = (options: BatchRenormOptions = {}): Norm =>
  byBatchStatistics(
    "brn",
    "Batch Renormalization",
    normOptions("batchRenorm", options, { running: optional(oneOf("variance", "deviation")) }),
  );
