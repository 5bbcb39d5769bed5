/** Batch Normalization (Ioffe and Szegedy 2015) over the channels of tokens. */
import { channelsOf, type Norm, type NormOptions } from "./define.ts";

/**
 * Batch Normalization at inference: `s = weight / sqrt(running_var + epsilon)`, `t = bias - s running_mean`
 * (equation 1 of the Unified Normalization paper).
 */
export function batchNorm({ epsilon = 1e-5 }: NormOptions = {}): Norm {
  return {
    family: "bn",
    label: "Batch Normalization",
    offline: true,
    ignoredKeys: ["num_batches_tracked"],
    apply: (x, scope) => {
      const channels = channelsOf(x, scope.path);
      const gain = scope.vector("weight", channels, { init: "gain" });
      const bias = scope.vector("bias", channels, { init: "bias" });
      const mean = scope.vector("running_mean", channels, { init: "bias" });
      const variance = scope.vector("running_var", channels, { init: "variance", nonNegative: true });
      const scale = gain.map((g, c) => g / Math.sqrt(variance[c]! + epsilon));
      return scope.affine(x, { scale, shift: bias.map((b, c) => b - scale[c]! * mean[c]!), family: "bn" });
    },
  };
}
