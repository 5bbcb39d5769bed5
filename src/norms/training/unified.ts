/**
 * Unified Normalization in training (Yang et al., ACM MM 2022): algorithm 2, with the outlier filtration of
 * section 3.3; equation numbers are that paper's.
 */
import { type BySquare, quadraticMean, stepBySquare } from "./by_square.ts";
import {
  type Affine,
  averaged,
  each,
  filled,
  means,
  type TrainingForm,
  type TrainingOptions,
} from "./step.ts";
import { geometricMeans, rootVariance, rootVariances, withSlot } from "./window.ts";

/** What training with Unified Normalization takes. */
export interface UnifiedTraining extends TrainingOptions {
  /** M, the number of steps that statistics are taken over; default 4. */
  readonly window?: number;
  /** Steps in which a batch is normalized by its own statistic while windows fill; default 4000. */
  readonly warmup?: number;
  /** Outlier filtration (19); by default on, and off in the variant "code". */
  readonly filtration?: boolean;
  /** The paper, or the code that its authors published, which differs in six points. */
  readonly variant?: "paper" | "code";
}

/** The buffers of a UN checkpoint. */
export type UnifiedState = {
  /** The smoothed quadratic mean, `[C]`. */
  readonly running_var: Float64Array;
  /** psi, `[C]`. */
  readonly ema_gz: Float64Array;
  /** Omega, the last quadratic means, `[M, C]`. */
  readonly buffer_x2: Float64Array;
  /** The last g, `[M, C]`. */
  readonly buffer_gz: Float64Array;
  /** Steps so far, `[1]`. */
  readonly iters: Float64Array;
  /** Outlier steps so far, `[1]`. */
  readonly skip_counter: Float64Array;
};

type Settings = Required<UnifiedTraining>;

/**
 * How Unified Normalization is trained.
 *
 * What the paper leaves open: both sides of (18), which is per channel, are averaged over channels, since
 * (19) decides for a layer; what is recorded of an outlier step are the running values from before it, and
 * psi does not change in it.
 *
 * @example
 * ```ts
 * import { unifiedNormTraining } from "../../../mod.ts";
 * const form = unifiedNormTraining({ warmup: 0 });
 * const parameters = { weight: Float64Array.of(1, 1), bias: Float64Array.of(0, 0) };
 * const { y, backward } = form.step(Float64Array.of(3, 4), parameters, form.start(2));
 * console.assert(Math.abs(y[0]! - 1) < 1e-5);
 * const { dx, state } = backward(Float64Array.of(1, 0));
 * console.assert(Math.abs(dx[0]!) < 1e-5 && state.iters[0] === 1);
 * ```
 */
export function unifiedNormTraining(options: UnifiedTraining = {}): TrainingForm<Affine, UnifiedState> {
  const { variant = "paper" } = options;
  const settings: Settings = {
    epsilon: 1e-5,
    momentum: 0.9,
    window: 4,
    warmup: 4000,
    filtration: variant === "paper",
    ...options,
    variant,
  };
  const { window } = settings;
  return {
    start: (channels) => ({
      running_var: filled(channels, 1),
      ema_gz: filled(channels, 0),
      buffer_x2: filled(window * channels, variant === "paper" ? 1 : 0),
      buffer_gz: filled(window * channels, 0),
      iters: filled(1, 0),
      skip_counter: filled(1, 0),
    }),
    step: (x, parameters, state) =>
      stepBySquare(x, parameters, (channels) =>
        (variant === "paper" ? asInPaper : asInCode)(
          quadraticMean(x, channels),
          state,
          settings,
        )),
  };
}

function asInPaper(
  q: Float64Array,
  state: UnifiedState,
  { epsilon, momentum, window, warmup, filtration }: Settings,
): BySquare<UnifiedState> {
  const channels = q.length;
  const iters = state.iters[0]!;
  const slot = iters % window;
  const squares = withSlot(state.buffer_x2, slot, q);
  const geometric = geometricMeans(squares, channels);
  const isWarm = iters >= Math.max(warmup, window);
  const isOutlier = filtration && window > 1 && isWarm &&
    mean(each((a, g) => a - g, means(squares, channels), geometric)) >
      window * mean(rootVariances(state.buffer_x2, channels)); // (18), of the window before
  const square = isWarm && !isOutlier ? geometric : q; // (16), (19)
  const forward = {
    ...state,
    running_var: averaged(state.running_var, square, momentum), // (12)
    buffer_x2: isOutlier ? withSlot(squares, slot, state.running_var) : squares,
    ...counted(state, isOutlier),
  };
  return {
    square,
    epsilon,
    state: forward,
    estimate(g) {
      const buffer_gz = withSlot(state.buffer_gz, slot, isOutlier ? state.ema_gz : g);
      const psi = isOutlier ? state.ema_gz : averaged(state.ema_gz, means(buffer_gz, channels), momentum);
      return { psi: isWarm && !isOutlier ? psi : g, state: { ...forward, buffer_gz, ema_gz: psi } }; // (19)
    },
  };
}

/** The six points are numbered as in `unified_norm.py`; the sixth is about padding, which rows have not. */
function asInCode(
  q: Float64Array,
  state: UnifiedState,
  { epsilon, momentum, window, warmup, filtration }: Settings,
): BySquare<UnifiedState> {
  const channels = q.length;
  const step = state.iters[0]! + 1;
  const slot = step % window;
  const squares = withSlot(state.buffer_x2, slot, q);
  const geometric = geometricMeans(squares, channels);
  const bound = window * rootVariance(state.buffer_x2); // 2: one number for all channels
  const spread = each((a, g) => a - g, means(squares, channels), geometric);
  const isCounted = filtration && step >= warmup && spread.some((value) => value > bound);
  const isOutlier = isCounted || window === 1;
  const isAlone = step <= window || step < warmup || isOutlier;
  const square = isAlone ? q : geometric;
  const forward = {
    ...state,
    running_var: averaged(state.running_var, square, momentum),
    buffer_x2: isCounted ? withSlot(squares, slot, state.running_var) : squares,
    ...counted(state, isCounted),
  };
  // 1: towards the running statistic, once it is one.
  const ratio = step <= Math.max(1000, warmup) || isOutlier
    ? filled(channels, 1)
    : each((s, r) => Math.sqrt((s + epsilon) / (r + epsilon)), square, state.running_var)
      .map((value) => Math.min(5, Math.max(1 / 5, value)));
  return {
    square,
    epsilon,
    ratio,
    state: forward,
    estimate(g) {
      const buffer_gz = withSlot(state.buffer_gz, slot, isOutlier ? state.ema_gz : g);
      const smooth = isAlone ? g : means(buffer_gz, channels);
      const ema_gz = averaged(state.ema_gz, smooth, momentum); // 3: in outlier steps, too
      return { psi: isOutlier ? smooth : ema_gz, state: { ...forward, buffer_gz, ema_gz } }; // 4: and in warm-up
    },
  };
}

const mean = (vector: Float64Array): number => means(vector, 1)[0]!;

const counted = ({ iters, skip_counter }: UnifiedState, isOutlier: boolean) => ({
  iters: iters.map((n) => n + 1),
  skip_counter: skip_counter.map((n) => n + Number(isOutlier)),
});
