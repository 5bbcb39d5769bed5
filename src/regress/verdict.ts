/**
 * Verdicts on times that were taken over many loadings (`run/loadings.ts`): each gives one ratio of the new
 * engine to the stored one, and one of the stored engine to itself. Pure and deterministic; nothing is
 * dropped.
 */
import type { Load } from "../report/run_report.ts";
import { FEWEST_LOADS, loadingNoise, loadingRatio, type RatioOf } from "../run/loadings.ts";
import { type Interval, mannWhitney, median, percentile } from "../run/statistics.ts";

export interface TimeJudgement {
  readonly verdict: "faster" | "same" | "slower" | "cannot tell";
  readonly ratio: { readonly median: number; readonly low: number; readonly high: number };
  /** The stored engine against itself. */
  readonly noise: Interval;
  readonly rounds: number;
  /** About how many rounds a judgement takes, by the intervals; null where it was made or none would do. */
  readonly roundsNeeded: number | null;
  readonly reason: string | null;
}

export interface JudgeOptions {
  /** 0.03: 3 %. */
  readonly threshold: number;
  /** Null: the median of the ratios of paired rounds; else a percentile of each loading, and their ratio. */
  readonly percent?: 95 | 99 | null;
}

/** Judges the new engine's times against the stored one's. */
export function judgeTimes(
  loads: readonly Load[],
  { threshold, percent = null }: JudgeOptions,
): TimeJudgement {
  const ratioOf: RatioOf | undefined = percent === null
    ? undefined
    : (a, b) => percentile(a, percent) / percentile(b, percent);
  const noise = loadingNoise(loads.map(({ storedMs, againMs }) => ({ firstMs: storedMs, againMs })), ratioOf);
  const interval = loadingRatio(
    loads.map(({ storedMs, againMs, buildMs }) => ({ topMs: buildMs, bottomMs: storedMs, againMs })),
    ratioOf,
  );
  const limit = 1 + threshold;
  const { low, high } = interval;
  const verdict = low > Math.max(limit, noise.high)
    ? "slower"
    : high < Math.min(1 / limit, noise.low)
    ? "faster"
    : low >= 1 / limit && high <= limit
    ? "same"
    : "cannot tell";
  const rounds = loads.reduce((sum, { storedMs }) => sum + storedMs.length, 0);
  const ratio = { median: interval.median, low, high };
  const judged = { verdict, ratio, noise, rounds } as const;
  if (verdict !== "cannot tell") return { ...judged, roundsNeeded: null, reason: null };
  const needed = roundsNeeded({ ratio, noise, rounds, loads: loads.length, threshold });
  return { ...judged, roundsNeeded: needed, reason: whyNot({ noise, threshold, rounds, needed }) };
}

/** Where it takes more than this many times what was timed, time is not what is missing. */
const MOST_TIMES = 20;

/** Intervals shrink with the root of the rounds; the ratio's must leave the threshold and the noise band. */
function roundsNeeded(
  { ratio, noise, rounds, loads, threshold }: {
    ratio: TimeJudgement["ratio"];
    noise: Interval;
    rounds: number;
    loads: number;
    threshold: number;
  },
): number | null {
  if (loads < FEWEST_LOADS) return Math.ceil(rounds / loads * FEWEST_LOADS);
  const limit = Math.log(1 + threshold);
  const center = Math.abs(Math.log(ratio.median));
  const width = Math.log(ratio.high / ratio.low) / 2;
  const factor = center > limit
    ? Math.max(width / (center - limit), (width + Math.log(noise.high)) / center)
    : width / (limit - center);
  const needed = Math.ceil(rounds * Math.max(1.1, factor) ** 2);
  return needed <= MOST_TIMES * rounds ? needed : null;
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
  const loud = noise.high < Infinity && noise.high - 1 > threshold
    ? `the stored engine differs from itself by up to ${percent(noise.high - 1)} here; `
    : "";
  return needed === null
    ? `${loud}it takes a quieter machine, or another --threshold: the difference is too near to it for the noise here`
    : `${loud}it takes about ${needed} rounds, ${rounds} were timed: give more --max-time`;
}

/** The level below which a difference of unpaired samples is one. */
export const UNPAIRED_P = 0.002;

/** Judges samples of one machine that were not taken in turns: Mann-Whitney, and beyond the threshold. */
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
  // The smallest number per side whose most extreme order is rare enough: 2 / C(2n, n) < 0.002 from 7 on.
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
