/** Unified Normalization (Yang et al., ACM MM 2022): the quadratic mean, smoothed in training; no mean. */
import { type NormMaker, normMaker } from "./define.ts";
import { bySecondMoment } from "./vectors.ts";

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
export const unifiedNorm: NormMaker<"un"> = normMaker({
  word: "un",
  maker: "unifiedNorm",
  label: "Unified Normalization",
  defaults: { epsilon: 1e-5 },
  proofs: [{ tensors: ["running_var"] }],
  ignoredKeys: ["ema_gz", "iters", "buffer_x2", "buffer_gz", "skip_counter"],
  apply: (x, scope, { epsilon }) => bySecondMoment(x, scope, { moment: "running_var", epsilon }),
});
