/** Dynamic Tanh (Zhu et al., CVPR 2025): a saturating nonlinearity in place of statistics. */
import { type NormMaker, normMaker } from "./define.ts";
import { gainAndShift } from "./vectors.ts";

/** DyT: `weight tanh(alpha x) + bias`, alpha a scalar (section 4); weight and bias fold, the tanh stays. */
export const dynamicTanh: NormMaker<"dyt", Record<never, never>> = normMaker({
  word: "dyt",
  maker: "dynamicTanh",
  label: "Dynamic Tanh",
  defaults: {},
  online: { why: "its tanh is not linear", operator: "dynamic_tanh" },
  folds: "gain, shift; tanh stays",
  proofs: [{ tensors: ["alpha"] }],
  apply: (x, scope) => {
    const [alpha] = scope.vector("alpha", 1, { init: "ones" });
    const of = scope.statistics("dynamic_tanh", x, { alpha: alpha! });
    return { of, ...gainAndShift(x, scope) };
  },
});
