/**
 * Batch Normalization (Ioffe and Szegedy 2015), Batch Renormalization (Ioffe 2017) and PRepBN (Guo et al.,
 * ICML 2024) in training: statistics of the batch with their exact gradients.
 */
import {
  type Affine,
  averaged,
  checkRows,
  each,
  eachRow,
  filled,
  meanProduct,
  means,
  sums,
  type TrainingForm,
  type TrainingOptions,
} from "./step.ts";

/** What training with Batch Renormalization takes. */
export interface RenormTraining extends TrainingOptions {
  /** The largest r, and 1 over the smallest; default 1, with which it is Batch Normalization. */
  readonly rMax?: number;
  /** The largest magnitude of d; default 0. */
  readonly dMax?: number;
}

/** Running mean and variance, `[C]` each; the variance is that of a sample, as PyTorch keeps it. */
export type BatchState = { readonly running_mean: Float64Array; readonly running_var: Float64Array };

/** `z r + d` with `z = (x - mean x) / sqrt(var x + epsilon)`; r and d, `[C]`, count as constants backward. */
function normalized(x: Float64Array, channels: number, epsilon: number) {
  checkRows(x, channels);
  const mean = means(x, channels);
  const centred = eachRow((c, value) => value - mean[c]!, channels, x);
  const variance = meanProduct(centred, centred, channels);
  const scale = variance.map((value) => 1 / Math.sqrt(value + epsilon));
  const z = eachRow((c, value) => value * scale[c]!, channels, centred);
  return {
    mean,
    variance,
    z,
    /** From dz: `(dz - mean(dz) - z mean(dz z)) / sqrt(var + epsilon)` (7), with psi exact (11). */
    backward(dz: Float64Array): Float64Array {
      const [psiMean, psiSquare] = [means(dz, channels), meanProduct(dz, z, channels)];
      const at = (c: number, d: number, value: number) =>
        (d - psiMean[c]! - value * psiSquare[c]!) * scale[c]!;
      return eachRow(at, channels, dz, z);
    },
  };
}

/** How Batch Normalization is trained (10 to 12). */
export const batchNormTraining = (options: TrainingOptions = {}): TrainingForm<Affine, BatchState> =>
  batchRenormTraining({ ...options, rMax: 1, dMax: 0 });

/**
 * How Batch Renormalization is trained (its Algorithm 1): `r = sigma_B / sigma` and `d = (mu_B - mu) / sigma`
 * lead from the batch's statistics to the running ones, within bounds.
 */
export function batchRenormTraining(
  { epsilon = 1e-5, momentum = 0.9, rMax = 1, dMax = 0 }: RenormTraining = {},
): TrainingForm<Affine, BatchState> {
  const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));
  return {
    start: (channels) => ({ running_mean: filled(channels, 0), running_var: filled(channels, 1) }),
    step(x, { weight, bias }, state) {
      const channels = weight.length;
      const rows = x.length / channels;
      const { mean, variance, z, backward } = normalized(x, channels, epsilon);
      const running = state.running_var.map((value) => Math.sqrt(value + epsilon));
      const r = each(
        (v, s) => clamp(Math.sqrt(v + epsilon) / s, 1 / rMax, rMax),
        variance,
        running,
      );
      const d = each((m, now, s) => clamp((m - now) / s, -dMax, dMax), mean, state.running_mean, running);
      const corrected = eachRow((c, value) => value * r[c]! + d[c]!, channels, z);
      const unbiased = variance.map((value) => value * rows / Math.max(1, rows - 1));
      const next = {
        running_mean: averaged(state.running_mean, mean, momentum),
        running_var: averaged(state.running_var, unbiased, momentum),
      };
      return {
        y: eachRow((c, value) => weight[c]! * value + bias[c]!, channels, corrected),
        state: next,
        backward: (dy) => ({
          dx: backward(eachRow((c, value) => weight[c]! * r[c]! * value, channels, dy)),
          gradients: {
            weight: sums(eachRow((_, a, b) => a * b, channels, dy, corrected), channels),
            bias: sums(dy, channels),
          },
          state: next,
        }),
      };
    },
  };
}

/** What training with PRepBN takes. */
export interface ProgressiveTraining extends TrainingOptions {
  /** In how many steps LayerNorm is gone. */
  readonly steps: number;
  /** The first of them, in which it is alone; default 0. */
  readonly hold?: number;
}

/** LayerNorm's gain and bias, those of Batch Normalization, and alpha `[1]`, under a checkpoint's names. */
export type ProgressiveParameters = {
  readonly "norm1.weight": Float64Array;
  readonly "norm1.bias": Float64Array;
  readonly "norm2.bn.weight": Float64Array;
  readonly "norm2.bn.bias": Float64Array;
  readonly "norm2.alpha": Float64Array;
};

/** The buffers of PRepBN. */
export type ProgressiveState = {
  readonly "norm2.bn.running_mean": Float64Array;
  readonly "norm2.bn.running_var": Float64Array;
  readonly iter: Float64Array;
};

/**
 * How PRepBN is trained: `lambda LN(x) + (1 - lambda) (BN(x) + alpha x)` (equations 4 and 5 of the SLAB
 * paper), lambda going from 1 to 0.
 */
export function progressiveRepBatchNormTraining(
  { steps, hold = 0, epsilon = 1e-5, momentum = 0.9 }: ProgressiveTraining,
): TrainingForm<ProgressiveParameters, ProgressiveState> {
  const batch = batchNormTraining({ epsilon, momentum });
  return {
    start: (channels) => ({
      "norm2.bn.running_mean": filled(channels, 0),
      "norm2.bn.running_var": filled(channels, 1),
      iter: filled(1, 0),
    }),
    step(x, parameters, state) {
      const channels = parameters["norm1.weight"].length;
      checkRows(x, channels);
      const lambda = Math.max(0, 1 - Math.max(0, state.iter[0]! - hold) / Math.max(1, steps - hold));
      const alpha = parameters["norm2.alpha"][0]!;
      // A token's channels are to LayerNorm what a channel's tokens are to Batch Normalization.
      const rows = x.length / channels;
      const layer = normalized(transposed(x, rows, channels), rows, epsilon);
      const inner = transposed(layer.z, channels, rows);
      const bn = batch.step(
        x,
        { weight: parameters["norm2.bn.weight"], bias: parameters["norm2.bn.bias"] },
        { running_mean: state["norm2.bn.running_mean"], running_var: state["norm2.bn.running_var"] },
      );
      const next = {
        "norm2.bn.running_mean": bn.state.running_mean,
        "norm2.bn.running_var": bn.state.running_var,
        iter: state.iter.map((n) => n + 1),
      };
      const [gain, bias] = [parameters["norm1.weight"], parameters["norm1.bias"]];
      return {
        y: eachRow(
          (c, z, b, value) => lambda * (gain[c]! * z + bias[c]!) + (1 - lambda) * (b + alpha * value),
          channels,
          inner,
          bn.y,
          x,
        ),
        state: next,
        backward(dy) {
          const [ofLayer, ofBatch] = [lambda, 1 - lambda].map((part) => dy.map((d) => part * d)) as [
            Float64Array,
            Float64Array,
          ];
          const back = bn.backward(ofBatch);
          const dz = eachRow((c, d) => gain[c]! * d, channels, ofLayer);
          const throughLayer = transposed(layer.backward(transposed(dz, rows, channels)), channels, rows);
          return {
            dx: eachRow((_, a, b, d) => a + b + alpha * d, channels, throughLayer, back.dx, ofBatch),
            gradients: {
              "norm1.weight": sums(eachRow((_, d, z) => d * z, channels, ofLayer, inner), channels),
              "norm1.bias": sums(ofLayer, channels),
              "norm2.bn.weight": back.gradients.weight,
              "norm2.bn.bias": back.gradients.bias,
              "norm2.alpha": sums(eachRow((_, d, value) => d * value, channels, ofBatch, x), 1),
            },
            state: next,
          };
        },
      };
    },
  };
}

const transposed = (x: Float64Array, rows: number, columns: number): Float64Array =>
  x.map((_, at) => x[(at % rows) * columns + Math.floor(at / rows)]!);
