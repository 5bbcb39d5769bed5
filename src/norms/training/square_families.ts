/**
 * PowerNorm (Shen et al., ICML 2020) and Moving Average Batch Normalization (Yan et al., ICLR 2020) in
 * training: the quadratic mean, averaged in two ways.
 */
import { quadraticMean, stepBySquare } from "./by_square.ts";
import {
  type Affine,
  averaged,
  each,
  filled,
  means,
  type TrainingForm,
  type TrainingOptions,
} from "./step.ts";

/** What training with an averaged statistic takes. */
export interface WarmTraining extends TrainingOptions {
  /** Steps in which a batch is normalized by its own statistic. */
  readonly warmup?: number;
}

/** What training with MABN takes. */
export interface MovingAverageTraining extends WarmTraining {
  /** M, the number of steps that g is averaged over; default 16. */
  readonly window?: number;
}

/** The buffers of a PowerNorm checkpoint: the running quadratic mean and nu, `[C]` each, and steps so far. */
export type PowerState = {
  readonly running_phi: Float64Array;
  readonly ema_gz: Float64Array;
  readonly iters: Float64Array;
};

/** The buffers of MABN: the running quadratic mean `[C]`, the last g `[M, C]`, steps so far. */
export type MovingAverageState = {
  readonly running_var: Float64Array;
  readonly buffer_gz: Float64Array;
  readonly iters: Float64Array;
};

/** How PN-V is trained: the batch's quadratic mean with its exact gradient (equations 4 to 6). */
export const powerNormVTraining = (options: TrainingOptions = {}): TrainingForm<Affine, PowerState> =>
  powerNormTraining({ ...options, warmup: Infinity });

/**
 * How PowerNorm is trained: the running quadratic mean of the steps before (equations 8 to 10), and nu in
 * place of the gradient that it would have (11 to 13). In the first `warmup` steps, 4000 by default, as PN-V.
 */
export function powerNormTraining(
  { epsilon = 1e-5, momentum = 0.9, warmup = 4000 }: WarmTraining = {},
): TrainingForm<Affine, PowerState> {
  return {
    start: (channels) => ({
      running_phi: filled(channels, 1),
      ema_gz: filled(channels, 0),
      iters: filled(1, 0),
    }),
    step: (x, parameters, state) =>
      stepBySquare(x, parameters, (channels) => {
        const q = quadraticMean(x, channels);
        const isWarm = state.iters[0]! >= warmup;
        const forward = {
          ...state,
          running_phi: averaged(state.running_phi, q, momentum),
          iters: state.iters.map((n) => n + 1),
        };
        return {
          square: isWarm ? state.running_phi : q,
          epsilon,
          state: forward,
          estimate(g, z) {
            // nu (1 - (1 - alpha) mean(z^2)) + (1 - alpha) mean(dz z), of the nu that this step has used.
            const ema_gz = each(
              (nu, gamma, lambda) => nu * (1 - (1 - momentum) * gamma) + (1 - momentum) * lambda,
              state.ema_gz,
              quadraticMean(z, channels),
              g,
            );
            return { psi: isWarm ? state.ema_gz : g, state: { ...forward, ema_gz } };
          },
        };
      }),
  };
}

/**
 * How MABN is trained (14): a moving average of the quadratic mean forward, the mean of the last M steps' g
 * backward. Its authors also centre the weights in front.
 */
export function movingAverageBatchNormTraining(
  { epsilon = 1e-5, momentum = 0.98, warmup = 1000, window = 16 }: MovingAverageTraining = {},
): TrainingForm<Affine, MovingAverageState> {
  return {
    start: (channels) => ({
      running_var: filled(channels, 1),
      buffer_gz: filled(window * channels, 0),
      iters: filled(1, 0),
    }),
    step: (x, parameters, state) =>
      stepBySquare(x, parameters, (channels) => {
        const q = quadraticMean(x, channels);
        const isWarm = state.iters[0]! >= Math.max(warmup, window);
        const running_var = averaged(state.running_var, q, momentum);
        const forward = { ...state, running_var, iters: state.iters.map((n) => n + 1) };
        return {
          square: isWarm ? running_var : q,
          epsilon,
          state: forward,
          estimate(g) {
            const buffer_gz = Float64Array.of(...state.buffer_gz.subarray(channels), ...g);
            return { psi: isWarm ? means(buffer_gz, channels) : g, state: { ...forward, buffer_gz } };
          },
        };
      }),
  };
}
