/**
 * PRepBN (SLAB, Guo et al., ICML 2024): Batch Normalization beside a scaled identity, reparameterized into
 * one affine.
 */
import { oneOf, optional } from "../ir/given.ts";
import { batchNormVectors } from "./batch.ts";
import { type Norm, type NormOptions, normOptions } from "./define.ts";

/** What PRepBN takes. */
export interface RepBatchNormOptions extends NormOptions {
  /** Where in its scope RepBN lies: in PRepBN's `norm2`, unless said, or in the scope itself. */
  readonly within?: "norm2" | "";
}

/**
 * RepBN at inference, `bn(x) + alpha x` (equation 5 of the SLAB paper):
 * `s = weight / sqrt(running_var + epsilon) + alpha`,
 * `t = bias - weight running_mean / sqrt(running_var + epsilon)`.
 *
 * Reads `norm2.alpha` (a scalar) and `norm2.bn.*`; `norm1`, the LayerNorm that training begins with, is
 * ignored. RepBN alone has `alpha` and `bn.*`.
 */
export function repBatchNorm(options: RepBatchNormOptions = {}): Norm {
  const { epsilon = 1e-5, within = "norm2" } = normOptions("repBatchNorm", options, {
    within: optional(oneOf("norm2", "")),
  });
  const path = within === "" ? "" : `${within}.`;
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
      const { scale, shift } = batchNormVectors(x, scope, { epsilon, prefix: `${path}bn.` });
      const [alpha] = scope.vector(`${path}alpha`, 1, { init: "ones" });
      return scope.affine(x, { scale: scale.map((s) => s + alpha!), shift, family: "prepbn" });
    },
  };
}
