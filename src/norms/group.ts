/** Group Normalization (Wu and He 2018) over the tokens of an example and groups of channels. */
import { COUNT, optional } from "../ir/given.ts";
import { type NormMaker, normMaker, type NormOptions } from "./define.ts";
import { gainAndShift } from "./vectors.ts";

/** What Group Normalization takes. */
export interface GroupNormOptions extends NormOptions {
  /** Groups of channels; 1, as PoolFormer has it, unless given. */
  readonly groups?: number;
}

/** Group Normalization of `[B, ..., C]`: statistics per example, over all tokens and a group's channels. */
export const groupNorm: NormMaker<"gn", GroupNormOptions> = normMaker({
  word: "gn",
  maker: "groupNorm",
  label: "Group Normalization",
  defaults: { epsilon: 1e-5, groups: 1 },
  takes: { groups: optional(COUNT) },
  online: {
    why: "its statistics depend on the input (each group's mean and variance)",
    operator: "group_norm",
  },
  alike: "ln",
  apply: (x, scope, options) => ({
    of: scope.statistics("group_norm", x, options),
    ...gainAndShift(x, scope),
  }),
});
