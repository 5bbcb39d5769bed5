/** Batch Normalization over the channels of tokens, and Batch Renormalization, which differs from it in training only. */
import type { Node } from "../ir/graph.ts";
import { channelsOf, type Norm, type NormFamily, type NormOptions, type NormScope } from "./define.ts";

/** Scale and shift of Batch Normalization from the parameters in a scope, at `prefix` in it. */
export function batchNormVectors(
  x: Node,
  scope: NormScope,
  { epsilon, prefix = "" }: { epsilon: number; prefix?: string },
): { scale: Float64Array; shift: Float64Array } {
  const channels = channelsOf(x, scope.path);
  const vector = (name: string) => `${prefix}${name}`;
  const gain = scope.vector(vector("weight"), channels, { init: "gain" });
  const bias = scope.vector(vector("bias"), channels, { init: "bias" });
  const mean = scope.vector(vector("running_mean"), channels, { init: "bias" });
  const variance = scope.vector(vector("running_var"), channels, { init: "variance", nonNegative: true });
  const scale = gain.map((g, c) => g / Math.sqrt(variance[c]! + epsilon));
  return { scale, shift: bias.map((b, c) => b - scale[c]! * mean[c]!) };
}

function byBatchStatistics(family: NormFamily, label: string, { epsilon = 1e-5 }: NormOptions): Norm {
  return {
    family,
    label,
    offline: true,
    ignoredKeys: ["num_batches_tracked"],
    apply: (x, scope) => scope.affine(x, { ...batchNormVectors(x, scope, { epsilon }), family }),
  };
}

/**
 * Batch Normalization (Ioffe and Szegedy 2015) at inference: `s = weight / sqrt(running_var + epsilon)`,
 * `t = bias - s running_mean` (equation 1 of the Unified Normalization paper).
 */
export const batchNorm = (options: NormOptions = {}): Norm =>
  byBatchStatistics("bn", "Batch Normalization", options);

/** Batch Renormalization (Ioffe 2017): at inference, and in its keys, Batch Normalization. */
export const batchRenorm = (options: NormOptions = {}): Norm =>
  byBatchStatistics("brn", "Batch Renormalization", options);
