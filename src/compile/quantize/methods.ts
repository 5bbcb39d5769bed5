/**
 * Where a tensor's range is cut off before it is rounded: each method finds a magnitude T from a histogram of
 * magnitudes, and what lies beyond is rounded to T.
 */
import { UnfoldError } from "../../errors.ts";
import { quoted } from "../../text.ts";
import type { Histogram } from "./histogram.ts";

/** The methods by name: how a range is found, for `--help` and messages. */
export const CALIBRATIONS = ["rows", "max", "percentile", "entropy", "mse"] as const;

/** How ranges are found. `rows` needs no histogram: see `calibrate.ts`. */
export type Calibration =
  | { readonly method: "rows" | "max" | "entropy" | "mse" }
  /** Of magnitudes, 50 to 100. */
  | { readonly method: "percentile"; readonly percent: number };

/** What is done unless another is given. */
export const DEFAULT_CALIBRATION: Calibration = { method: "rows" };

/** What calibration does besides rounding inputs; nothing of it unless given. */
export interface CalibrationOptions {
  /** How ranges of inputs are found; default: `rows`. */
  readonly calibration?: Calibration | undefined;
  /** The exponent of SmoothQuant, 0 to 1; see `smooth.ts`. */
  readonly smoothQuant?: number | undefined;
  /** A folder in which ranges are kept from one run to the next; see `range_cache.ts`. */
  readonly calibrationCache?: string | undefined;
  /** Whether biases take mean errors away; see `correct.ts`. */
  readonly biasCorrection?: boolean | undefined;
}

const USUAL_PERCENTILE = 99.99;

/**
 * @example parseCalibration("percentile:99.9")
 * @throws {UnfoldError} no such method, or no such percentile
 */
export function parseCalibration(text: string): Calibration {
  const [name, number] = text.split(":", 2) as [string, string?];
  const method = CALIBRATIONS.find((method) => method === name);
  if (method === undefined || (number !== undefined && method !== "percentile")) {
    throw new UnfoldError(
      `--calibration ${quoted(text)}: give one of ${CALIBRATIONS.join(", ")}, or percentile:99.9`,
    );
  }
  if (method !== "percentile") return { method };
  const percent = number === undefined ? USUAL_PERCENTILE : Number(number);
  if (number?.trim() === "" || !(percent >= 50 && percent <= 100)) {
    throw new UnfoldError(`--calibration ${quoted(text)}: give a percentile from 50 to 100`);
  }
  return { method, percent };
}

/** As it is typed. */
export const calibrationName = (calibration: Calibration = DEFAULT_CALIBRATION): string =>
  calibration.method === "percentile" ? `percentile:${calibration.percent}` : calibration.method;

/** What a range is cut off for. */
interface Target {
  /** Magnitudes that it has, 0 among them: 128 in int8, 256 in uint8 of what is never negative. */
  readonly levels: number;
  /** What a number becomes where the range ends at T. */
  readonly cutAt: (threshold: number) => (value: number) => number;
}

/** @returns T, at most the largest magnitude */
export function threshold(histogram: Histogram, calibration: Calibration, target: Target): number {
  switch (calibration.method) {
    case "percentile":
      return percentileThreshold(histogram, calibration.percent);
    case "entropy":
      return entropyThreshold(histogram, target.levels);
    case "mse":
      return mseThreshold(histogram, target.cutAt);
    default:
      return histogram.max;
  }
}

/**
 * The end of the first bin that p % of magnitudes do not lie beyond:
 * `T = min t: #(|x| <= t) >= p / 100 #(x)`.
 */
function percentileThreshold({ used, width, max }: Histogram, percent: number): number {
  const least = used.reduce((sum, count) => sum + count, 0) * percent / 100;
  let below = 0;
  const bin = used.findIndex((count) => (below += count) >= least);
  return Math.min(max, (bin + 1) * width);
}

/**
 * The least divergence of Kullback and Leibler of what is left of the distribution, as TensorRT's entropy
 * calibration has it (Migacz 2017): for each number i of bins from `levels` on
 *
 *     P = h_0 .. h_(i-1), the last with all that lies beyond,
 *     Q = h_0 .. h_(i-1) joined to `levels` bins, each spread evenly over its bins in which P is not 0,
 *     T = i width with the least sum_k P_k log(P_k / Q_k), of P and Q scaled to a sum of 1
 *
 * Of equals the largest.
 */
function entropyThreshold({ used, width, max }: Histogram, levels: number): number {
  const total = used.reduce((sum, count) => sum + count, 0);
  let best = { divergence: Infinity, bins: used.length };
  for (let bins = used.length, inside = total; bins >= levels; inside -= used[--bins]!) {
    const divergence = divergenceOf(used.subarray(0, bins), { inside, beyond: total - inside, levels });
    if (divergence < best.divergence) best = { divergence, bins };
  }
  return Math.min(max, best.bins * width);
}

function divergenceOf(
  bins: Float64Array,
  { inside, beyond, levels }: { readonly inside: number; readonly beyond: number; readonly levels: number },
): number {
  let divergence = 0;
  for (let level = 0, k = 0; level < levels; level++) {
    const [start, end] = [k, Math.ceil((level + 1) * bins.length / levels)];
    let [joined, held] = [0, 0];
    const p = (k: number) => bins[k]! + (k === bins.length - 1 ? beyond : 0);
    for (k = start; k < end; k++) {
      joined += bins[k]!;
      if (p(k) > 0) held++;
    }
    // Infinite where a level is empty but for what lies beyond it.
    const q = joined / held / inside;
    for (k = start; k < end; k++) {
      if (p(k) > 0) divergence += p(k) / (inside + beyond) * Math.log(p(k) / (inside + beyond) / q);
    }
  }
  return divergence;
}

/** Parts of the largest magnitude that are tried. */
const SWEEP = 128;

/** The least squared error of the sweep, `sum_k h_k (round_T(x_k) - x_k)^2` with x_k the middle of bin k. */
function mseThreshold({ used, width, max }: Histogram, cutAt: Target["cutAt"]): number {
  let best = { error: Infinity, threshold: max };
  for (let part = SWEEP; part > 0; part--) {
    const threshold = max * part / SWEEP;
    const round = cutAt(threshold);
    let error = 0;
    used.forEach((count, k) => {
      if (count > 0) error += count * (round((k + 0.5) * width) - (k + 0.5) * width) ** 2;
    });
    if (error < best.error) best = { error, threshold };
  }
  return best.threshold;
}
