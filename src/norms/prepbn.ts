/** PRepBN (SLAB, Guo et al., ICML 2024): Batch Normalization plus a scaled identity, merged to one affine. */
import { oneOf, optional } from "../ir/given.ts";
import { type NormMaker, normMaker, type NormOptions } from "./define.ts";
import { byBatchStatistics } from "./vectors.ts";

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
export const repBatchNorm: NormMaker<"prepbn", RepBatchNormOptions> = normMaker({
  word: "prepbn",
  maker: "repBatchNorm",
  label: "PRepBN",
  defaults: { epsilon: 1e-5, within: "norm2" },
  takes: { within: optional(oneOf("norm2", "")) },
  proofs: [
    { tensors: ["norm2.bn.running_mean"], called: "the Batch Normalization in PRepBN" },
    {
      tensors: ["bn.running_mean", "alpha"],
      options: { within: "" },
      called: "the Batch Normalization in RepBN",
    },
  ],
  ignoredKeys: ["norm1\\.(weight|bias)", "warm", "iter", "total_step", "num_step", "num_batches_tracked"],
  apply: (x, scope, { epsilon, within }) => {
    const path = within === "" ? "" : `${within}.`;
    const inner: typeof scope = {
      ...scope,
      vector: (name, ...wanted) => scope.vector(`${path}bn.${name}`, ...wanted),
    };
    const { scale, shift } = byBatchStatistics(x, inner, { epsilon });
    const [alpha] = scope.vector(`${path}alpha`, 1, { init: "ones" });
    return { scale: scale.map((s) => s + alpha!), shift };
  },
});
