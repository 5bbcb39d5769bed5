/** No normalization: the lower bound of any latency measurement. */
import { type NormMaker, normMaker } from "./define.ts";

/** The identity in place of a normalization; owns no parameters. */
export const noNorm: NormMaker<"none", Record<never, never>> = normMaker({
  word: "none",
  maker: "noNorm",
  label: "no normalization",
  defaults: {},
  folds: "nothing to fold",
  apply: () => null,
});
