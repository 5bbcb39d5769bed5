/**
 * PowerNorm (Shen et al., ICML 2020): the running quadratic mean psi in place of mean and variance. Its
 * reference code divides by each token's own quadratic mean first (GroupScaling), which the paper does not
 * describe and no fold removes.
 */
import { UnfoldError } from "../errors.ts";
import { COUNT, EPSILON, optional } from "../ir/given.ts";
import { type NormMaker, normMaker, type NormOptions } from "./define.ts";
import { bySecondMoment, channelsOf } from "./vectors.ts";

const ignoredKeys = ["ema_gz", "iters"];
const moment = "running_phi";

/** PN-V (section 4.1, equations 4 and 5): the batch's quadratic mean in training; `powerNorm` in use. */
export const powerNormV: NormMaker<"pnv"> = normMaker({
  word: "pnv",
  maker: "powerNormV",
  label: "PowerNorm-V",
  defaults: { epsilon: 1e-5 },
  alike: "pn",
  ignoredKeys,
  apply: (x, scope, { epsilon }) => bySecondMoment(x, scope, { moment, epsilon }),
});

/**
 * PowerNorm at inference (section 4.2 and Algorithm 2 of its paper): `y = weight x / psi + bias`, psi being
 * the running mean of equation 10, with `psi^2 = running_phi + epsilon`.
 *
 * Reads `weight`, `bias` and `running_phi` (`[1, C, 1, 1]` in the reference code).
 */
export const powerNorm: NormMaker<"pn"> = normMaker({
  word: "pn",
  maker: "powerNorm",
  label: "PowerNorm",
  defaults: { epsilon: 1e-5 },
  ignoredKeys,
  apply: (x, scope, { epsilon }) => bySecondMoment(x, scope, { moment, epsilon }),
});

/** What PowerNorm with GroupScaling takes. */
export interface GroupScalingOptions extends NormOptions {
  /** Groups of channels with a quadratic mean each; the reference code takes the number of heads. */
  readonly groups?: number;
  /** Added to each group's mean square; the reference code sets `epsilon` alone, which `running_phi` gets. */
  readonly groupEpsilon?: number;
}

/**
 * PowerNorm as its reference code computes it: `x / sqrt(mean_group(x^2) + groupEpsilon)` for each token,
 * then `powerNorm`. The affine folds; the scaling depends on the input and stays, so a network with it is not
 * folded. Files are the reference code's unless said otherwise.
 *
 * Applied, it throws an `UnfoldError` where the channels do not divide among the groups.
 */
export const powerNormGroupScaling: NormMaker<"pngs", GroupScalingOptions> = normMaker({
  word: "pngs",
  maker: "powerNormGroupScaling",
  label: "PowerNorm with GroupScaling",
  defaults: { epsilon: 1e-5, groups: 1, groupEpsilon: 1e-5 },
  takes: { groups: optional(COUNT), groupEpsilon: optional(EPSILON) },
  online: { why: "its GroupScaling, which its paper does not have, depends on the input" },
  folds: "the affine; scaling stays",
  alike: "pn",
  proofs: [{ tensors: [moment], called: "PowerNorm" }],
  ignoredKeys,
  apply: (x, scope, { epsilon, groups, groupEpsilon }) => {
    const channels = channelsOf(x, scope.path);
    if (channels % groups !== 0) {
      throw new UnfoldError(`${scope.path}: ${channels} channels do not divide among ${groups} groups`);
    }
    const of = scope.statistics("rms_norm", x, { epsilon: groupEpsilon, groups });
    return { of, ...bySecondMoment(x, scope, { moment, epsilon }) };
  },
});
