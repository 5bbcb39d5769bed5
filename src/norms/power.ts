/**
 * PowerNorm (Shen et al., ICML 2020): the running quadratic mean psi in place of mean and variance. Its
 * reference code divides by each token's own quadratic mean first (GroupScaling), which the paper does not
 * describe and no fold removes.
 */
import { UnfoldError } from "../errors.ts";
import { COUNT, EPSILON, optional } from "../ir/given.ts";
import { channelsOf, type Norm, type NormOptions, normOptions } from "./define.ts";
import { bySecondMoment } from "./second_moment.ts";

const IGNORED = ["ema_gz", "iters"];
const MOMENT = "running_phi";

/**
 * PN-V (section 4.1, equations 4 and 5): the batch's quadratic mean in training; at inference as `powerNorm`.
 */
export function powerNormV(options: NormOptions = {}): Norm {
  const { epsilon = 1e-5 } = normOptions("powerNormV", options, {});
  return {
    family: "pnv",
    label: "PowerNorm-V",
    offline: true,
    ignoredKeys: IGNORED,
    apply: (x, scope) => bySecondMoment(x, scope, { moment: MOMENT, epsilon, family: "pnv" }),
  };
}

/**
 * PowerNorm at inference (section 4.2 and Algorithm 2 of its paper): `y = weight x / psi + bias`, psi being
 * the running mean of equation 10, with `psi^2 = running_phi + epsilon`.
 *
 * Reads `weight`, `bias` and `running_phi` (`[1, C, 1, 1]` in the reference code).
 */
export function powerNorm(options: NormOptions = {}): Norm {
  const { epsilon = 1e-5 } = normOptions("powerNorm", options, {});
  return {
    family: "pn",
    label: "PowerNorm",
    offline: true,
    ignoredKeys: IGNORED,
    apply: (x, scope) => bySecondMoment(x, scope, { moment: MOMENT, epsilon, family: "pn" }),
  };
}

/** What PowerNorm with GroupScaling takes. */
export interface GroupScalingOptions extends NormOptions {
  /** Groups of channels with a quadratic mean each; the reference code takes the number of heads. */
  readonly groups?: number;
  /**
   * Added to each group's mean square; `epsilon` belongs to `running_phi`, and the reference code sets only
   * that.
   */
  readonly groupEpsilon?: number;
}

/**
 * PowerNorm as its reference code computes it: `x / sqrt(mean_group(x^2) + groupEpsilon)` for each token,
 * then `powerNorm`. The affine folds; the scaling depends on the input and stays, so a network with it is not
 * folded.
 *
 * @throws {UnfoldError} the channels do not divide among the groups
 */
export function powerNormGroupScaling(options: GroupScalingOptions = {}): Norm {
  const { epsilon = 1e-5, groups = 1, groupEpsilon = 1e-5 } = normOptions("powerNormGroupScaling", options, {
    groups: optional(COUNT),
    groupEpsilon: optional(EPSILON),
  });
  return {
    family: "pngs",
    label: "PowerNorm with GroupScaling",
    offline: false,
    ignoredKeys: IGNORED,
    apply: (x, scope) => {
      const channels = channelsOf(x, scope.path);
      if (channels % groups !== 0) {
        throw new UnfoldError(`${scope.path}: ${channels} channels do not divide among ${groups} groups`);
      }
      const scaled = scope.statistics("rms_norm", x, { epsilon: groupEpsilon, groups });
      return bySecondMoment(scaled, scope, { moment: MOMENT, epsilon, family: "pngs" });
    },
  };
}
