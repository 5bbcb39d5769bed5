/**
 * Verdicts on times, from samples that were taken in turns. What ought to be alike (the stored engine loaded twice, one
 * rebuild and the next) is compared first, and gives the noise band; then each rebuild is compared with each loading of
 * the stored engine. A verdict needs all of these intervals: the luck of one loading, one build or one round is none.
 * Pure and deterministic; samples are never dropped.
 */
import { bootstrapMedian, type Interval, mannWhitney, median, pairedRatios, percentile } from "../run/statistics.ts";

/** Milliseconds, round by round, of things timed in the same rounds. */
export interface PairedSamples {
  readonly storedMs: readonly number[];
  readonly againMs: readonly number[];
  readonly buildsMs: readonly (readonly number[])[];
}

export interface TimeJudgement {
  readonly verdict: "faster" | "same" | "slower" | "cannot tell";
  readonly ratio: { readonly median: number; readonly low: number; readonly high: number };
  readonly noise: Interval;
  readonly rounds: number;
  /** About how many rounds a judgement takes, by the intervals' width; null where it was made, or none would do. */
  readonly roundsNeeded: number | null;
  readonly reason: string | null;
}

export interface JudgeOptions {
  /** 0.03: 3 %. */
  readonly threshold: number;
  /** Null: the median of the ratios of paired rounds; else a percentile of each, and their ratio. */
  readonly percent?: 95 | 99 | null;
  readonly seed?: number;
}

interface Compared extends Interval {
  readonly center: number;
}

/** Judges the rebuilds' times against the stored engine's. */
export function judgeTimes(
  { storedMs, againMs, buildsMs }: PairedSamples,
  { threshold, percent = null, seed = 0 }: JudgeOptions,
): TimeJudgement {
  const compare = (a: readonly number[], b: readonly number[]) =>
    percent === null ? compareMedians(a, b, seed) : comparePercentiles(a, b, percent);
  const alike = [compare(againMs, storedMs)];
  for (let i = 1; i < buildsMs.length; i++) alike.push(compare(buildsMs[i]!, buildsMs[i - 1]!));
  const factor = Math.max(1, ...alike.flatMap(({ low, high }) => [high, 1 / low]));
  const noise = { low: 1 / factor, high: factor };
  const differences = buildsMs.flatMap((build) => [compare(build, storedMs), compare(build, againMs)]);
  const low = Math.min(...differences.map((difference) => difference.low));
  const high = Math.max(...differences.map((difference) => difference.high));
  const limit = 1 + threshold;
  const verdict = low > Math.max(limit, noise.high)
    ? "slower"
    : high < Math.min(1 / limit, noise.low)
    ? "faster"
    : low >= 1 / limit && high <= limit
    ? "same"
    : "cannot tell";
  const rounds = storedMs.length;
  const judged = {
    ratio: { median: median(differences.map(({ center }) => center)), low, high },
    noise,
    rounds,
  };
  if (verdict !== "cannot tell") return { ...judged, verdict, roundsNeeded: null, reason: null };
  const needed = percent !== null && rounds < fewestRounds(percent)
    ? fewestRounds(percent)
    : roundsNeeded([...differences, ...alike], { rounds, threshold });
  return { ...judged, verdict, roundsNeeded: needed, reason: whyNot({ noise, threshold, rounds, needed }) };
}

/** 95 % interval of the median of paired ratios. */
function compareMedians(a: readonly number[], b: readonly number[], seed: number): Compared {
  const ratios = pairedRatios(a, b);
  return { center: median(ratios), ...bootstrapMedian(ratios, { seed, resamples: 2000 }) };
}

/**
 * Interval of a ratio of percentiles, at least 95 %: each percentile lies between two order statistics with 97.5 %,
 * whatever the distribution (the number of samples below it is binomial), and the ratio between their quotients.
 */
function comparePercentiles(a: readonly number[], b: readonly number[], percent: number): Compared {
  const [x, y] = [percentileInterval(a, percent), percentileInterval(b, percent)];
  return {
    center: percentile(a, percent) / percentile(b, percent),
    low: x.low / y.high,
    high: x.high / y.low,
  };
}

/** One tail of a 97.5 % interval. */
const TAIL = 0.0125;

/** Ends are 0 and infinity where there are too few samples to say. */
export function percentileInterval(samples: readonly number[], percent: number): Interval {
  const sorted = Float64Array.from(samples).sort();
  const p = percent / 100;
  // P(number below the percentile <= k), summed from the binomial's terms.
  let below = 0;
  let lower = -1;
  let upper = sorted.length;
  for (let k = 0; k < sorted.length; k++) {
    below += binomial(sorted.length, k, p);
    if (below <= TAIL) lower = k;
    if (below >= 1 - TAIL) {
      upper = k;
      break;
    }
  }
  return { low: lower < 0 ? 0 : sorted[lower]!, high: upper < sorted.length ? sorted[upper]! : Infinity };
}

function binomial(n: number, k: number, p: number): number {
  return Math.exp(logFactorial(n) - logFactorial(k) - logFactorial(n - k) + k * Math.log(p) + (n - k) * Math.log1p(-p));
}

const logFactorials: number[] = [0];
function logFactorial(n: number): number {
  while (logFactorials.length <= n) logFactorials.push(logFactorials.at(-1)! + Math.log(logFactorials.length));
  return logFactorials[n]!;
}

/** Rounds from which on the largest of them bounds a percentile at all. */
function fewestRounds(percent: number): number {
  return Math.ceil(Math.log(TAIL) / Math.log(percent / 100));
}

/** More than anybody would wait for. */
const MOST_ROUNDS = 1_000_000;

/**
 * Intervals shrink with the root of the rounds; each must come off the threshold it straddles, on the side its center
 * lies on already.
 */
function roundsNeeded(
  intervals: readonly Compared[],
  { rounds, threshold }: { rounds: number; threshold: number },
): number | null {
  const limit = Math.log(1 + threshold);
  const factors = intervals.map(({ center, low, high }) => {
    const width = (Math.log(high) - Math.log(low)) / 2;
    return width / Math.abs(Math.abs(Math.log(center)) - limit);
  });
  const needed = Math.ceil(rounds * Math.max(1, ...factors) ** 2);
  return Number.isFinite(needed) && needed > rounds && needed <= MOST_ROUNDS ? needed : null;
}

function whyNot(
  { noise, threshold, rounds, needed }: {
    noise: Interval;
    threshold: number;
    rounds: number;
    needed: number | null;
  },
): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const loud = noise.high === Infinity
    ? ""
    : noise.high - 1 > threshold
    ? `equal engines differ by up to ${percent(noise.high - 1)} here, and ${percent(threshold)} is asked for; `
    : "";
  return needed === null
    ? `${loud}more rounds would not settle it: use a quieter machine or a larger --threshold`
    : `${loud}it takes about ${needed} rounds, ${rounds} were timed: give more --max-time`;
}

/** The level below which a difference of unpaired samples is one. */
export const UNPAIRED_P = 0.002;

/** Judges samples that were not taken in turns, of one machine: Mann-Whitney, beyond the threshold as well. */
export function judgeUnpaired(
  currentMs: readonly number[],
  storedMs: readonly number[],
  { threshold }: { threshold: number },
): Pick<TimeJudgement, "verdict" | "reason" | "roundsNeeded"> {
  const ratio = median(currentMs) / median(storedMs);
  const { pValue } = mannWhitney(currentMs, storedMs);
  const limit = 1 + threshold;
  if (pValue < UNPAIRED_P) {
    if (ratio > limit) return { verdict: "slower", reason: null, roundsNeeded: null };
    if (ratio < 1 / limit) return { verdict: "faster", reason: null, roundsNeeded: null };
    return { verdict: "same", reason: null, roundsNeeded: null };
  }
  // The smallest number on each side whose most extreme order is rare enough: 2 / C(2n, n) < 0.002 from n = 7 on.
  const fewest = 7;
  const short = Math.min(currentMs.length, storedMs.length) < fewest;
  return {
    verdict: "cannot tell",
    reason: short
      ? `${storedMs.length} and ${currentMs.length} samples, not taken in turns; it takes ${fewest} on each side`
      : "the samples were not taken in turns, and no difference shows among them",
    roundsNeeded: short ? fewest : null,
  };
}
