/** Layer Normalization (Ba et al. 2016): the reference every offline normalization is measured against. */
import { apply } from "../ops/mod.ts";
import { channelsOf, type Norm, type NormOptions } from "./define.ts";

/** Layer Normalization: `weight (x - mean) / sqrt(var + epsilon) + bias`, statistics of each token at run time. */
export function layerNorm({ epsilon = 1e-5 }: NormOptions = {}): Norm {
  return {
    family: "ln",
    label: "Layer Normalization",
    offline: false,
    ignoredKeys: [],
    apply: (x, scope) => {
      const channels = channelsOf(x, scope.path);
      const gain = scope.param("weight", [channels], { init: "gain" });
      const bias = scope.param("bias", [channels], { init: "bias" });
      return apply("layer_norm", [x, gain, bias], { attrs: { epsilon }, name: scope.path });
    },
  };
}
