/** Dynamic Tanh (Zhu et al., CVPR 2025): a saturating nonlinearity in place of statistics. */
import { gainAndShift, type Norm } from "./define.ts";

/**
 * DyT: `weight tanh(alpha x) + bias` with a scalar `alpha` (section 4 of its paper). Weight and bias fold;
 * the tanh, which is not linear, stays.
 */
export function dynamicTanh(): Norm {
  return {
    family: "dyt",
    label: "Dynamic Tanh",
    offline: false,
    ignoredKeys: [],
    apply: (x, scope) => {
      const [alpha] = scope.vector("alpha", 1, { init: "ones" });
      const bare = scope.statistics("dynamic_tanh", x, { alpha: alpha! });
      return scope.affine(bare, { ...gainAndShift(x, scope), family: "dyt" });
    },
  };
}
