/** Unified Normalization (Yang et al., ACM MM 2022): the quadratic mean, smoothed in training; no mean is subtracted. */
import { channelsOf, type Norm, type NormOptions } from "./define.ts";

/**
 * Unified Normalization at inference: `y = s x + t` per channel with `s = weight / sqrt(running_var + epsilon)` and
 * `t = bias` (equation 1 with mu = 0; `running_var` is the smoothed second moment of Algorithm 2).
 *
 * Reads `weight`, `bias` and `running_var`, `[C]` each; the training buffers of the paper's repository are ignored.
 *
 * @example
 * ```ts
 * import { unifiedNorm } from "../../mod.ts";
 * console.assert(unifiedNorm().offline);
 * ```
 */
export function unifiedNorm({ epsilon = 1e-5 }: NormOptions = {}): Norm {
  return {
    family: "un",
    label: "Unified Normalization",
    offline: true,
    ignoredKeys: ["ema_gz", "iters", "buffer_x2", "buffer_gz", "skip_counter"],
    apply: (x, scope) => {
      const channels = channelsOf(x, scope.path);
      const gain = scope.vector("weight", channels, { init: "gain" });
      const shift = scope.vector("bias", channels, { init: "bias" });
      const square = scope.vector("running_var", channels, { init: "variance", nonNegative: true });
      return scope.affine(x, {
        scale: gain.map((g, c) => g / Math.sqrt(square[c]! + epsilon)),
        shift,
        family: "un",
      });
    },
  };
}
