/**
 * Latency over loadings: the one method behind the times of `build-engine`, `bench` and `regress`. One
 * network, loaded twice, differs from itself by some per cent for as long as both are loaded (where their
 * memory lies), so that more rounds of the same loadings say nothing more. Therefore everything is loaded
 * again and again, the baseline twice each time; each loading gives one ratio from rounds in turns, and the
 * interval is that of the median over loadings, from order statistics: exact whatever the distribution.
 * Nothing is dropped. Leaves out what is loaded, and verdicts.
 */
import { UnfoldError } from "../errors.ts";
import { type Machine, machineWarnings, THIS_MACHINE } from "./machine.ts";
import type { PreparedCall } from "./session.ts";
import { coefficientOfVariation, type Interval, median, pairedRatios, percentile } from "./statistics.ts";
import { type Clock, compareLatency } from "./timing.ts";

/** Loads a contender, for the `index`-th time from 0; what is to be let go of after it goes on the stack. */
export type Open = (opened: AsyncDisposableStack, index: number) => Promise<PreparedCall>;

export interface LoadingsOptions {
  /** What to time, by name. */
  readonly contenders: Readonly<Record<string, Open>>;
  /** The contender that is loaded twice, to know what it differs from itself by. */
  readonly baseline: string;
  /** The least time of all rounds together until the first look, loading and warm-up aside. */
  readonly minMs: number;
  /** Rounds of each loading in place of a time. */
  readonly rounds?: number;
  /** Loadings until the first look; at least 6. */
  readonly firstLook: number;
  /** Whether these are enough; half as many again follow if not. Default: the first look is the last. */
  readonly isEnough?: (loadings: readonly Loading[]) => boolean;
  /** By `performance.now()`: no loading begins that would end after it, once there are 6. */
  readonly deadlineMs: number;
  /** Time each contender runs before anything is kept, in each loading; default 40. */
  readonly warmupMs?: number;
  /** CPU threads of the contenders, for the warnings; may be known only once they are loaded. */
  readonly threads?: () => number | undefined;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly machine?: Machine;
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

/** The samples of one loading in milliseconds per call, one a round, in the order of the rounds. */
export interface Loading {
  readonly samplesMs: Readonly<Record<string, readonly number[]>>;
  /** The baseline, loaded a second time. */
  readonly againMs: readonly number[];
}

export interface LoadingsTimed {
  readonly clock: Clock;
  readonly loadings: readonly Loading[];
  /** What makes these figures less trustworthy, as sentences. */
  readonly warnings: readonly string[];
}

/** Loadings from which on their extremes enclose the median with 95 %: 2 / 2^6 = 3 %. */
export const FEWEST_LOADS = 6;
const WARMUP_MS = 40;
const MIN_LOAD_MS = 150;

/**
 * Loads and times until it is enough. So few looks, each at all samples so far, hardly raise the share of
 * false alarms.
 *
 * @throws {UnfoldError} options that contradict each other; whatever loading or a call throws; the signal's
 *   reason
 */
export async function timeLoadings(options: LoadingsOptions): Promise<LoadingsTimed> {
  const { minMs, firstLook, isEnough = () => true, deadlineMs, machine = THIS_MACHINE } = options;
  if (!(firstLook >= FEWEST_LOADS)) {
    throw new UnfoldError(`an interval takes ${FEWEST_LOADS} loadings or more, not ${firstLook}`);
  }
  const started = performance.now();
  const before = machine.state();
  const loadings: Loading[] = [];
  let clock: Clock = "wall";
  let loadMs = Math.max(Math.min(MIN_LOAD_MS, minMs), minMs / firstLook);
  let look = firstLook;
  while (true) {
    const loading = await timeOne(options, { index: loadings.length, loadMs });
    clock = loading.clock;
    loadings.push({ samplesMs: loading.samplesMs, againMs: loading.againMs });
    const now = performance.now();
    const late = (now - started) / (deadlineMs - started);
    options.onProgress?.(
      Math.min(1, Math.max(loadings.length / look, loadings.length < FEWEST_LOADS ? 0 : late)),
    );
    const isLate = now + (now - started) / loadings.length > deadlineMs;
    if (loadings.length >= FEWEST_LOADS && isLate) break;
    if (loadings.length < look) continue;
    if (isEnough(loadings)) break;
    // More loadings and longer ones: either may be what the width comes from.
    look = Math.ceil(look * 1.5);
    loadMs *= 1.25;
  }
  return {
    clock,
    loadings,
    warnings: machineWarnings(before, machine.state(), { threads: options.threads?.() }),
  };
}

async function timeOne(
  { contenders, baseline, rounds, warmupMs = WARMUP_MS, seed = 0, signal, machine }: LoadingsOptions,
  { index, loadMs }: { index: number; loadMs: number },
): Promise<Loading & { clock: Clock }> {
  const again = `${baseline} again`;
  const openers: Readonly<Record<string, Open>> = { ...contenders, [again]: contenders[baseline]! };
  const begun = performance.now();
  await using opened = new AsyncDisposableStack();
  const calls: Record<string, PreparedCall> = {};
  for (const name of orderOf(Object.keys(openers), index)) {
    signal?.throwIfAborted();
    calls[name] = await openers[name]!(opened, index);
  }
  const { contenders: times } = await compareLatency({
    contenders: calls,
    baseline,
    warmupMs,
    noiseMs: 0,
    // At least as long as opening took, or most of the time would go into that.
    ...(rounds === undefined
      ? { minMs: Math.max(loadMs, performance.now() - begun), minRounds: 5 }
      : { minMs: 0, minRounds: rounds, maxRounds: rounds }),
    seed: seed + index,
    signal,
    ...(machine && { machine }),
  });
  return {
    clock: times[baseline]!.clock,
    samplesMs: Object.fromEntries(Object.keys(contenders).map((name) => [name, times[name]!.samplesMs])),
    againMs: times[again]!.samplesMs,
  };
}

/** The one opened first is slower: in twice as many loadings as names, each name has each place twice. */
function orderOf(names: readonly string[], index: number): string[] {
  const first = (index >> 1) % names.length;
  const rotated = [...names.slice(first), ...names.slice(0, first)];
  return index % 2 === 0 ? rotated : rotated.reverse();
}

/** The times of two contenders in one loading. */
export interface LoadedPair {
  readonly topMs: readonly number[];
  readonly bottomMs: readonly number[];
  /** The second loading of `bottom`, where it has one: the ratio is the geometric mean of those to both. */
  readonly againMs?: readonly number[];
}

export interface LoadingRatio extends Interval {
  readonly median: number;
  /** One of each loading. */
  readonly ratios: readonly number[];
}

/** The typical ratio of two contenders in one loading: the median of its paired rounds, unless said. */
export type RatioOf = (a: readonly number[], b: readonly number[]) => number;
const medianOfRounds: RatioOf = (a, b) => median(pairedRatios(a, b));

/** The median over loadings of the ratio of two contenders' times, with its 95 % interval. */
export function loadingRatio(pairs: readonly LoadedPair[], ratioOf: RatioOf = medianOfRounds): LoadingRatio {
  const ratios = pairs.map(({ topMs, bottomMs, againMs }) =>
    againMs === undefined
      ? ratioOf(topMs, bottomMs)
      : Math.sqrt(ratioOf(topMs, bottomMs) * ratioOf(topMs, againMs))
  );
  return { ratios, median: median(ratios), ...medianInterval(ratios) };
}

/** Ratios that are no difference: those of one contender, loaded twice, to itself, symmetric around 1. */
export function loadingNoise(
  pairs: readonly { readonly firstMs: readonly number[]; readonly againMs: readonly number[] }[],
  ratioOf: RatioOf = medianOfRounds,
): Interval {
  const { low, high } = medianInterval(pairs.map(({ firstMs, againMs }) => ratioOf(againMs, firstMs)));
  // Which of the two was called the first means nothing.
  const factor = Math.max(high, 1 / low);
  return { low: 1 / factor, high: factor };
}

/** All samples of a contender, the second loading of a baseline left out, and the usual figures of them. */
export interface ContenderTimes {
  readonly medianMs: number;
  readonly p90Ms: number;
  readonly p95Ms: number;
  readonly minMs: number;
  readonly coefficientOfVariation: number;
  readonly samplesMs: readonly number[];
}

export interface PairOfLoadings {
  readonly ratio: LoadingRatio;
  readonly noise: Interval;
  readonly rounds: number;
  readonly ratioOfMinima: number;
  readonly top: ContenderTimes;
  readonly bottom: ContenderTimes;
}

/** What loadings say of a contender and the baseline. */
export function compareLoadings(
  { loadings }: Pick<LoadingsTimed, "loadings">,
  { top, bottom }: { readonly top: string; readonly bottom: string },
): PairOfLoadings {
  const pairs = loadings.map(({ samplesMs, againMs }) => ({
    topMs: samplesMs[top]!,
    bottomMs: samplesMs[bottom]!,
    againMs,
  }));
  const [topMs, bottomMs] = [pairs.flatMap(({ topMs }) => topMs), pairs.flatMap(({ bottomMs }) => bottomMs)];
  const ratio = loadingRatio(pairs);
  return {
    ratio,
    noise: loadingNoise(pairs.map(({ bottomMs, againMs }) => ({ firstMs: bottomMs, againMs }))),
    rounds: bottomMs.length,
    ratioOfMinima: percentile(topMs, 0) / percentile(bottomMs, 0),
    top: timesOf(topMs),
    bottom: timesOf(bottomMs),
  };
}

/** The usual figures of samples. */
export function timesOf(samplesMs: readonly number[]): ContenderTimes {
  return {
    medianMs: median(samplesMs),
    p90Ms: percentile(samplesMs, 90),
    p95Ms: percentile(samplesMs, 95),
    minMs: percentile(samplesMs, 0),
    coefficientOfVariation: coefficientOfVariation(samplesMs),
    samplesMs,
  };
}

/**
 * The interval that holds the median with at least 95 %: between two order statistics, the number of values
 * below the median being binomial. Its ends are 0 and infinity for fewer than 6 values.
 */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = Float64Array.from(values).sort();
  const n = sorted.length;
  let probability = 2 ** -n;
  let tail = 0;
  let rank = -1; // the largest k with P(fewer than k + 1 below) <= 2.5 %
  for (let k = 0; k < n; k++) {
    tail += probability;
    if (tail > 0.025) break;
    rank = k;
    probability *= (n - k) / (k + 1);
  }
  return rank < 0 ? { low: 0, high: Infinity } : { low: sorted[rank]!, high: sorted[n - 1 - rank]! };
}
