/**
 * What normalizations by a running second moment have in common at inference:
 * `s = weight / sqrt(moment + epsilon)`, `t = bias`, no mean (equation 1 of the Unified Normalization paper
 * with mu = 0). They differ in training and in keys.
 */
import type { Node } from "../ir/graph.ts";
import { gainAndShift, type NormFamily, type NormScope } from "./define.ts";

/** @param moment the buffer's name; `x` is the tensor itself, or what a family puts in front */
export function bySecondMoment(
  x: Node,
  scope: NormScope,
  { moment, epsilon, family }: { moment: string; epsilon: number; family: NormFamily },
): Node {
  const { scale: gain, shift } = gainAndShift(x, scope);
  const square = scope.vector(moment, gain.length, { init: "variance", nonNegative: true });
  return scope.affine(x, { scale: gain.map((g, c) => g / Math.sqrt(square[c]! + epsilon)), shift, family });
}
