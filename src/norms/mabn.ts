/** Moving Average Batch Normalization (Yan et al., ICLR 2020): the second moment, averaged over steps. */
import { type NormMaker, normMaker } from "./define.ts";
import { bySecondMoment } from "./vectors.ts";

/**
 * MABN at inference: `s = weight / sqrt(running_var + epsilon)`, `t = bias`; no mean is subtracted, which is
 * why its training centres the weights of the layers in front. A checkpoint may hold those weights uncentred:
 * describe such a layer with `linear(x, p, { outputs, centred: true })`, and those of a block with
 * `outCentred`.
 *
 * Reads `weight`, `bias` and `running_var`, `[C]` or `[1, C, 1, 1]`; the buffers of its repository's two
 * versions are ignored.
 */
export const movingAverageBatchNorm: NormMaker<"mabn"> = normMaker({
  word: "mabn",
  maker: "movingAverageBatchNorm",
  label: "Moving Average Batch Normalization",
  defaults: { epsilon: 1e-5 },
  alike: "un",
  ignoredKeys: ["iters", "buffer_x2", "buffer_gz", "sta_matrix", "pre_x2", "pre_gz"],
  apply: (x, scope, { epsilon }) => bySecondMoment(x, scope, { moment: "running_var", epsilon }),
});
