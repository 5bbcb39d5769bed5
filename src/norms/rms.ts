/** Root-mean-square normalization (Zhang and Sennrich 2019): online, without mean and bias. */
import { apply } from "../ops/mod.ts";
import { channelsOf, type Norm, type NormOptions } from "./define.ts";

/** RMSNorm: `weight x / sqrt(mean(x^2) + epsilon)`, statistics of each token at run time. */
export function rmsNorm({ epsilon = 1e-6 }: NormOptions = {}): Norm {
  return {
    family: "rms",
    label: "RMSNorm",
    offline: false,
    ignoredKeys: [],
    apply: (x, scope) => {
      const gain = scope.param("weight", [channelsOf(x, scope.path)], { init: "gain" });
      return apply("rms_norm", [x, gain], { attrs: { epsilon }, name: scope.path });
    },
  };
}
