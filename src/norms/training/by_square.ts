/**
 * What normalizations by a quadratic mean have in common in training (equations 2, 3, 6 and 7 of the Unified
 * Normalization paper with mu = 0): `z = x / sqrt(sigma^2 + epsilon)`, `y = weight z + bias`, and backward
 * `dx = (dz - z psi) / sqrt(sigma^2 + epsilon)` with psi in place of `mean(dz z)`, which is exact where sigma
 * is the batch's own and nobody can compute where it mixes earlier batches.
 */
import {
  type Affine,
  type Arrays,
  checkRows,
  eachRow,
  meanProduct,
  sums,
  type TrainingStep,
} from "./step.ts";

/** What the way back asks of a family. */
export interface BySquare<State extends Arrays> {
  /** sigma^2, `[C]`: what this step divides by the root of. */
  readonly square: Float64Array;
  readonly epsilon: number;
  /** A factor of the gradients of x and weight, `[C]`; one but in the code that was published for UN. */
  readonly ratio?: Float64Array;
  readonly state: State;
  /** psi for this step, and the statistics behind it. */
  estimate(g: Float64Array, z: Float64Array): { readonly psi: Float64Array; readonly state: State };
}

/** The quadratic mean of each channel (13): `mean(x^2)`. */
export const quadraticMean = (x: Float64Array, channels: number): Float64Array => meanProduct(x, x, channels);

export function stepBySquare<State extends Arrays>(
  x: Float64Array,
  { weight, bias }: Affine,
  family: (channels: number) => BySquare<State>,
): TrainingStep<Affine, State> {
  const channels = weight.length;
  checkRows(x, channels);
  const { square, epsilon, ratio, state, estimate } = family(channels);
  const scale = square.map((value) => 1 / Math.sqrt(value + epsilon));
  const z = eachRow((c, value) => value * scale[c]!, channels, x);
  return {
    y: eachRow((c, value) => weight[c]! * value + bias[c]!, channels, z),
    state,
    backward(dy) {
      const scaled = eachRow((c, value) => value * (ratio?.[c] ?? 1), channels, dy);
      const dz = eachRow((c, value) => weight[c]! * value, channels, scaled);
      const { psi, state } = estimate(meanProduct(dz, z, channels), z);
      return {
        dx: eachRow((c, d, value) => (d - value * psi[c]!) * scale[c]!, channels, dz, z),
        gradients: {
          weight: sums(eachRow((_, d, value) => d * value, channels, scaled, z), channels),
          bias: sums(dy, channels),
        },
        state,
      };
    },
  };
}
