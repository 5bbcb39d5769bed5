/** Gains and shifts from the parameters in a scope, in float64: what families have in common. */
import { UnfoldError } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import type { NormScope, Vectors } from "./define.ts";

/** The channel count of a tensor about to be normalized. */
export function channelsOf(x: Node, path: string): number {
  const channels = x.type.shape.at(-1);
  if (typeof channels !== "number") throw new UnfoldError(`${path}: the channel axis must have a fixed size`);
  return channels;
}

/** The `weight` and `bias` that most families end in. */
export function gainAndShift(x: Node, scope: NormScope): Vectors {
  const scale = gain(x, scope);
  return { scale, shift: scope.vector("bias", scale.length, { init: "bias" }) };
}

/** The `weight` of a family member without a shift; `fromOne`: stored as an offset from one. */
export function gainAlone(x: Node, scope: NormScope, { fromOne = false } = {}): Vectors {
  const stored = gain(x, scope, fromOne ? "bias" : "gain");
  return { scale: fromOne ? stored.map((g) => 1 + g) : stored, shift: new Float64Array(stored.length) };
}

function gain(x: Node, scope: NormScope, init: "gain" | "bias" = "gain"): Float64Array {
  return scope.vector("weight", channelsOf(x, scope.path), { init });
}

/**
 * By a running second moment: `s = weight / sqrt(moment + epsilon)`, `t = bias`, no mean (equation 1 of the
 * Unified Normalization paper with mu = 0). Families that have it differ in training and in keys.
 */
export function bySecondMoment(
  x: Node,
  scope: NormScope,
  { moment, epsilon }: { moment: string; epsilon: number },
): Vectors {
  const { scale: gain, shift } = gainAndShift(x, scope);
  const square = scope.vector(moment, gain.length, { init: "variance", nonNegative: true });
  return { scale: gain.map((g, c) => g / Math.sqrt(square[c]! + epsilon)), shift };
}

/**
 * By a running mean and variance, or a `running_std`, to which no epsilon is added:
 * `s = weight / sqrt(running_var + epsilon)`, `t = bias - s running_mean` (equation 1 of the Unified
 * Normalization paper).
 */
export function byBatchStatistics(
  x: Node,
  scope: NormScope,
  { epsilon, running = "variance" }: { epsilon: number; running?: "variance" | "deviation" },
): Vectors {
  const { scale: gain, shift: bias } = gainAndShift(x, scope);
  const vector = (name: string) => scope.vector(name, gain.length, { init: "variance", nonNegative: true });
  const mean = scope.vector("running_mean", gain.length, { init: "bias" });
  const deviation = running === "deviation"
    ? vector("running_std")
    : vector("running_var").map((variance) => Math.sqrt(variance + epsilon));
  const scale = gain.map((g, c) => g / deviation[c]!);
  return { scale, shift: bias.map((b, c) => b - scale[c]! * mean[c]!) };
}
