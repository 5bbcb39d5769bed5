/**
 * Which normalization the tensors of a file look like, by what each family leaves in its scope. For messages:
 * a file that does not fit the normalization it is read with is to be read with another one, not with less of
 * it.
 */
import { haveSameKeys, type NormFamily } from "./define.ts";

/** The tensors of each family's scope, those that have more first; of alike ones the commonest. */
const KEYS: readonly (readonly [NormFamily, ...string[]])[] = [
  [
    "prepbn",
    "norm2.alpha",
    "norm2.bn.weight",
    "norm2.bn.bias",
    "norm2.bn.running_mean",
    "norm2.bn.running_var",
  ],
  ["pn", "weight", "bias", "running_phi"],
  ["brn", "weight", "bias", "running_mean", "running_std"],
  ["bn", "weight", "bias", "running_mean", "running_var"],
  ["un", "weight", "bias", "running_var"],
  ["dyt", "weight", "bias", "alpha"],
  ["ln", "weight", "bias"],
  ["rms", "weight"],
];

/**
 * Families that no tensor tells apart, beside those of `haveSameKeys`: a gain and a bias are all they have.
 */
const GAIN_AND_BIAS: readonly NormFamily[] = ["ln", "lnfree", "gn"];

/** A normalization in a file: its scope, and the family that its tensors look like. */
export interface FoundNorm {
  readonly scope: string;
  readonly family: NormFamily;
}

/**
 * The normalization that a tensor is of, or would be of, where the file has another than `wanted` there; else
 * null.
 *
 * @param shapeOf the shape of a tensor of the file, undefined where there is none
 */
export function otherNorm(
  tensor: string,
  { wanted, shapeOf }: {
    wanted: NormFamily;
    shapeOf: (name: string) => readonly number[] | undefined;
  },
): FoundNorm | null {
  const inner = tensor.replace(/\.[^.]*$/, "");
  // PRepBN has scopes within its own.
  const outer = inner.replace(/\.norm[12](\.bn)?$/, "");
  const around = looksLikeNorm(outer, shapeOf);
  const found = around?.family === "prepbn" ? around : looksLikeNorm(inner, shapeOf) ?? around;
  const isAlike = found !== null &&
    (haveSameKeys(found.family, wanted) ||
      (GAIN_AND_BIAS.includes(found.family) && GAIN_AND_BIAS.includes(wanted)));
  return isAlike ? null : found;
}

function looksLikeNorm(
  scope: string,
  shapeOf: (name: string) => readonly number[] | undefined,
): FoundNorm | null {
  const isVector = (key: string) =>
    (shapeOf(`${scope}.${key}`)?.filter((size) => size !== 1).length ?? 2) <= 1;
  const family = KEYS.find(([, ...keys]) => keys.every(isVector))?.[0];
  return family === undefined ? null : { scope, family };
}
