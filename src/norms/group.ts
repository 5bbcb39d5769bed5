/** Group Normalization (Wu and He 2018) over the tokens of an example and groups of channels. */
import { COUNT, optional } from "../ir/given.ts";
import { gainAndShift, type Norm, type NormOptions, normOptions } from "./define.ts";

/** What Group Normalization takes. */
export interface GroupNormOptions extends NormOptions {
  /** Groups of channels; 1, as PoolFormer has it, unless given. */
  readonly groups?: number;
}

/**
 * Group Normalization of `[B, ..., C]`: statistics of each example, over all its tokens and each group's
 * channels.
 */
export function groupNorm(options: GroupNormOptions = {}): Norm {
  const { epsilon = 1e-5, groups = 1 } = normOptions("groupNorm", options, { groups: optional(COUNT) });
  return {
    family: "gn",
    label: "Group Normalization",
    offline: false,
    ignoredKeys: [],
    apply: (x, scope) => {
      const bare = scope.statistics("group_norm", x, { epsilon, groups });
      return scope.affine(bare, { ...gainAndShift(x, scope), family: "gn" });
    },
  };
}
