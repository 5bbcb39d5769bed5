/**
 * Unified Normalization (Yang et al., ACM MM 2022): the quadratic mean, smoothed in training; no mean is
 * subtracted.
 */
import { type Norm, type NormOptions, normOptions } from "./define.ts";
import { bySecondMoment } from "./second_moment.ts";

/**
 * Unified Normalization at inference: `y = s x + t` per channel with
 * `s = weight / sqrt(running_var + epsilon)` and `t = bias` (equation 1 with mu = 0; `running_var` is the
 * smoothed second moment of Algorithm 2).
 *
 * Reads `weight`, `bias` and `running_var`, `[C]` each; the training buffers of the paper's repository are
 * ignored.
 *
 * @example
 * ```ts
 * import { unifiedNorm } from "../../mod.ts";
 * console.assert(unifiedNorm().offline);
 * ```
 */
export function unifiedNorm(options: NormOptions = {}): Norm {
  const { epsilon = 1e-5 } = normOptions("unifiedNorm", options, {});
  return {
    family: "un",
    label: "Unified Normalization",
    offline: true,
    ignoredKeys: ["ema_gz", "iters", "buffer_x2", "buffer_gz", "skip_counter"],
    apply: (x, scope) => bySecondMoment(x, scope, { moment: "running_var", epsilon, family: "un" }),
  };
}
