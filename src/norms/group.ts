/** Group Normalization (Wu and He 2018) over the tokens of an example and groups of channels. */
import { apply } from "../ops/mod.ts";
import { channelsOf, type Norm, type NormOptions, statisticsName } from "./define.ts";

export interface GroupNormOptions extends NormOptions {
  /** Groups of channels; 1, as PoolFormer has it, unless given. */
  readonly groups?: number;
}

/** Group Normalization of `[B, ..., C]`: statistics of each example, over all its tokens and each group's channels. */
export function groupNorm({ epsilon = 1e-5, groups = 1 }: GroupNormOptions = {}): Norm {
  return {
    family: "gn",
    label: "Group Normalization",
    offline: false,
    ignoredKeys: [],
    apply: (x, scope) => {
      const channels = channelsOf(x, scope.path);
      const scale = scope.vector("weight", channels, { init: "gain" });
      const shift = scope.vector("bias", channels, { init: "bias" });
      const bare = apply("group_norm", [x], { attrs: { epsilon, groups }, name: statisticsName(scope.path) });
      return scope.affine(bare, { scale, shift, family: "gn" });
    },
  };
}
