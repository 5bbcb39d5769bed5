/** A multiplication and an addition per channel in place of a normalization (Touvron et al. 2021, ResMLP). */
import { type NormMaker, normMaker } from "./define.ts";
import { gainAndShift } from "./vectors.ts";

/**
 * The affine layer of ResMLP: `y = weight x + bias` per channel, without statistics (equation 1). What an
 * ONNX file multiplies and adds per channel is of this family, whatever it was trained as.
 *
 * Reads `weight` and `bias`, `[C]` each.
 *
 * @example
 * ```ts
 * import { affineNorm } from "../../mod.ts";
 * console.assert(affineNorm().offline);
 * ```
 */
export const affineNorm: NormMaker<"affine", Record<never, never>> = normMaker({
  word: "affine",
  maker: "affineNorm",
  label: "Multiplication and addition per channel",
  defaults: {},
  alike: "ln",
  apply: gainAndShift,
});
