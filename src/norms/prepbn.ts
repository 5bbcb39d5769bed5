/** PRepBN (SLAB, Guo et al., ICML 2024): Batch Normalization beside a scaled identity, reparameterized into one affine. */
import { type Norm, type NormOptions, normOptions } from "./define.ts";
import { batchNormVectors } from "./batch.ts";

/**
 * RepBN at inference, `bn(x) + alpha x` (equation 5 of the SLAB paper):
 * `s = weight / sqrt(running_var + epsilon) + alpha`, `t = bias - weight running_mean / sqrt(running_var + epsilon)`.
 *
 * Reads `norm2.alpha` (a scalar) and `norm2.bn.*`; `norm1`, the LayerNorm that training begins with, is ignored.
 */
export function repBatchNorm(options: NormOptions = {}): Norm {
  const { epsilon = 1e-5 } = normOptions("repBatchNorm", options, {});
  return {
    family: "prepbn",
    label: "PRepBN",
    offline: true,
    ignoredKeys: [
      "norm1\\.(weight|bias)",
      "warm",
      "iter",
      "total_step",
      "num_step",
      "num_batches_tracked",
    ],
    apply: (x, scope) => {
      const { scale, shift } = batchNormVectors(x, scope, { epsilon, prefix: "norm2.bn." });
      const [alpha] = scope.vector("norm2.alpha", 1, { init: "ones" });
      return scope.affine(x, { scale: scale.map((s) => s + alpha!), shift, family: "prepbn" });
    },
  };
}
