/**
 * The history of a baseline: where figures changed over saved runs, and at which commit. Exact figures change
 * where they change. Of times, each run gives one ratio to the stored engine, which no change of machine
 * moves; a change point is the cut at which the ranks of the runs before and after differ most
 * (Mann-Whitney). It counts where fewer than 0.2 % of random orders of the runs differ as much at any cut,
 * which accounts for the search.
 */
import { followed, type Metric, METRICS, rowOf } from "../report/metrics.ts";
import { isWorse, type RunReport } from "../report/run_report.ts";
import { median, seededRandom, shuffled } from "../run/statistics.ts";
import { UNPAIRED_P } from "./verdict.ts";

/** A run's figure. */
export interface HistoryPoint {
  readonly time: string;
  readonly commit: string | null;
  readonly dirty: boolean;
  /** Of times the ratio to the stored engine, else the figure itself. */
  readonly value: number;
}

export interface ChangePoint {
  /** The first run after the change. */
  readonly index: number;
  readonly time: string;
  readonly commit: string | null;
  /** The commit of the run before, so that what lies between is known. */
  readonly after: string | null;
  /** Typical figures up to the neighbouring changes. */
  readonly from: number;
  readonly to: number;
  readonly isWorse: boolean;
  /** Null of exact figures. */
  readonly pValue: number | null;
}

export interface HistorySeries {
  readonly model: string;
  readonly metric: Metric;
  readonly unit: string;
  readonly points: readonly HistoryPoint[];
  readonly changes: readonly ChangePoint[];
}

/**
 * Figures of every model and metric over runs, oldest first. Ratios of runs against different saves of the
 * baseline are not one series: those against the last save are taken.
 */
export function historyOf(runs: readonly RunReport[]): HistorySeries[] {
  const last = runs.at(-1)?.baseline.id;
  const names = [...new Set(runs.flatMap(({ models }) => models.map(({ model }) => model)))];
  return names.flatMap((model) =>
    METRICS.flatMap((metric): HistorySeries[] => {
      const what = followed(metric);
      if (what === undefined) return [];
      const isTimed = what === "ratio";
      let unit = "";
      const points = runs.flatMap((run): HistoryPoint[] => {
        if (isTimed && run.baseline.id !== last) return [];
        const found = run.models.find((one) => one.model === model)?.metrics.find((one) =>
          one.metric === metric
        );
        const value = isTimed ? found?.ratio?.median : found?.current;
        if (value === undefined || value === null) return [];
        unit = isTimed ? "of the stored engine's time" : found!.unit;
        return [{ time: run.startedAt, commit: run.commit, dirty: run.dirty, value }];
      });
      if (points.length === 0) return [];
      const values = points.map(({ value }) => value);
      const cuts = isTimed
        ? changePoints(values)
        : values.flatMap((value, i) => i > 0 && value !== values[i - 1] ? [{ index: i, pValue: null }] : []);
      const changes = cuts.map(({ index, pValue }, i): ChangePoint => {
        const from = median(values.slice(cuts[i - 1]?.index ?? 0, index));
        const to = median(values.slice(index, cuts[i + 1]?.index));
        const { time, commit } = points[index]!;
        const worse = !isTimed && rowOf(metric).better === "more" ? to < from : to > from;
        return { index, time, commit, after: points[index - 1]!.commit, from, to, isWorse: worse, pValue };
      });
      return [{ model, metric, unit, points, changes }];
    })
  );
}

/** Runs between changes, and on either side of one. */
const FEWEST_RUNS = 3;
/** So many orders give p-values down to 0.0005. */
const ORDERS = 1999;
/** What a history's page can show, and what a search over pairs of places takes a second for. */
const MOST_RUNS = 300;

/**
 * Where a series of noisy values changes: binary segmentation by the largest standardized rank sum, each cut
 * tested against random orders of the same values. Where no single cut is one, a stretch that differs from
 * what lies before and after is looked for in the same way, since a level that comes back hides from single
 * cuts.
 *
 * @returns positions of first values after a change, ascending; of more than 300 values only the last are
 *   searched
 */
export function changePoints(
  values: readonly number[],
  { seed = 0 }: { seed?: number } = {},
): { index: number; pValue: number }[] {
  const skipped = Math.max(0, values.length - MOST_RUNS);
  return segment(values.slice(skipped), seed).map(({ index, pValue }) => ({
    index: index + skipped,
    pValue,
  }));
}

function segment(values: readonly number[], seed: number): { index: number; pValue: number }[] {
  const ranks = ranksOf(values);
  for (const best of [bestCut, bestStretch]) {
    const { cuts, statistic } = best(ranks);
    if (cuts.length === 0) continue;
    const pValue = chance(ranks, { best, statistic, seed });
    if (pValue >= UNPAIRED_P) continue;
    const ends = [0, ...cuts, values.length];
    return ends.slice(1).flatMap((end, i) => {
      const start = ends[i]!;
      const inside = segment(values.slice(start, end), seed).map((cut) => ({
        ...cut,
        index: cut.index + start,
      }));
      return i === 0 ? inside : [{ index: start, pValue }, ...inside];
    });
  }
  return [];
}

interface Best {
  readonly cuts: readonly number[];
  readonly statistic: number;
}

/** The share of orders in which some place is as extreme, this one included. */
function chance(
  ranks: readonly number[],
  { best, statistic, seed }: { best: (ranks: readonly number[]) => Best; statistic: number; seed: number },
): number {
  const random = seededRandom(seed);
  const limit = Math.ceil(UNPAIRED_P * (ORDERS + 1));
  let asExtreme = 1;
  for (let i = 0; i < ORDERS; i++) {
    // Equal statistics are summed in another order. Once there are too many, how many does not matter.
    if (best(shuffled(ranks, random)).statistic >= statistic - 1e-9 && ++asExtreme > limit) break;
  }
  return asExtreme / (ORDERS + 1);
}

/** The cut whose sides' rank sums differ most. */
function bestCut(ranks: readonly number[]): Best {
  const sums = cumulative(ranks);
  let best: Best = { cuts: [], statistic: -1 };
  for (let cut = FEWEST_RUNS; cut <= ranks.length - FEWEST_RUNS; cut++) {
    const statistic = standardized(sums[cut]!, cut, ranks.length);
    if (statistic > best.statistic) best = { cuts: [cut], statistic };
  }
  return best;
}

/** The stretch within whose rank sum differs most from that of the rest. */
function bestStretch(ranks: readonly number[]): Best {
  const sums = cumulative(ranks);
  let best: Best = { cuts: [], statistic: -1 };
  for (let start = FEWEST_RUNS; start <= ranks.length - 2 * FEWEST_RUNS; start++) {
    for (let end = start + FEWEST_RUNS; end <= ranks.length - FEWEST_RUNS; end++) {
      const statistic = standardized(sums[end]! - sums[start]!, end - start, ranks.length);
      if (statistic > best.statistic) best = { cuts: [start, end], statistic };
    }
  }
  return best;
}

/** A rank sum of `count` of `total` values, in standard deviations from what it is expected to be. */
function standardized(sum: number, count: number, total: number): number {
  return Math.abs(sum - count * (total + 1) / 2) / Math.sqrt(count * (total - count) * (total + 1) / 12);
}

function cumulative(ranks: readonly number[]): Float64Array {
  const sums = new Float64Array(ranks.length + 1);
  ranks.forEach((rank, i) => sums[i + 1] = sums[i]! + rank);
  return sums;
}

/** From 1; equal values share the mean of theirs. */
function ranksOf(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks: number[] = Array(values.length).fill(0);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) ranks[order[i]!] = (start + 1 + end) / 2;
  }
  return ranks;
}

/** How many metrics of a run were worse. */
export const worseIn = ({ models }: RunReport): number =>
  models.reduce((sum, { metrics }) => sum + metrics.filter(isWorse).length, 0);
