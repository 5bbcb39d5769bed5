/**
 * The history of a baseline: where figures changed over saved runs, and at which commit. Exact figures change where they
 * change. Of times, each run gives one ratio to the stored engine, which no change of machine moves; a change point is
 * where the ranks of the runs before and after differ most (Mann-Whitney), and is one if runs in random order differ as
 * much, wherever they are cut, in fewer than 0.2 % of orders: so the search for the place is accounted for.
 */
import { isWorse, type Metric, METRICS, type RunReport } from "../report/run_report.ts";
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

const EXACT: ReadonlySet<Metric> = new Set([
  "plan bytes",
  "peak memory",
  "nodes",
  "kernels",
  "normalization kernels",
  "accuracy",
]);
const TIMED: ReadonlySet<Metric> = new Set(["latency p50", "latency p95", "latency p99", "throughput"]);

/**
 * Figures of every model and metric over runs, oldest first. Ratios of runs against different saves of the baseline are
 * not one series: those against the last save are taken.
 */
export function historyOf(runs: readonly RunReport[]): HistorySeries[] {
  const last = runs.at(-1)?.baseline.id;
  const names = [...new Set(runs.flatMap(({ models }) => models.map(({ model }) => model)))];
  return names.flatMap((model) =>
    METRICS.flatMap((metric): HistorySeries[] => {
      const isTimed = TIMED.has(metric);
      if (!isTimed && !EXACT.has(metric)) return [];
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
        const worse = metric === "accuracy" ? to < from : to > from;
        return { index, time, commit, after: points[index - 1]!.commit, from, to, isWorse: worse, pValue };
      });
      return [{ model, metric, unit, points, changes }];
    })
  );
}

/** Runs on either side of a change. */
const FEWEST_RUNS = 3;
/** So many orders give p-values down to 0.0005. */
const ORDERS = 1999;

/**
 * Where a series of noisy values changes: binary segmentation by the largest standardized Mann-Whitney statistic, each cut
 * tested against random orders of the same values.
 *
 * @returns positions of first values after a change, ascending
 */
export function changePoints(
  values: readonly number[],
  { seed = 0 }: { seed?: number } = {},
): { index: number; pValue: number }[] {
  if (values.length < 2 * FEWEST_RUNS) return [];
  const { index, statistic } = bestCut(values);
  const random = seededRandom(seed);
  let asExtreme = 1;
  for (let i = 0; i < ORDERS; i++) {
    // Equal statistics are summed in another order.
    if (bestCut(shuffled(values, random)).statistic >= statistic - 1e-9) asExtreme++;
  }
  const pValue = asExtreme / (ORDERS + 1);
  if (pValue >= UNPAIRED_P) return [];
  return [
    ...changePoints(values.slice(0, index), { seed }),
    { index, pValue },
    ...changePoints(values.slice(index), { seed }).map((cut) => ({ ...cut, index: cut.index + index })),
  ];
}

/** The cut whose rank sums differ most, in standard deviations. */
function bestCut(values: readonly number[]): { index: number; statistic: number } {
  const n = values.length;
  const ranks = ranksOf(values);
  let best = { index: FEWEST_RUNS, statistic: -1 };
  let sum = 0;
  for (let i = 0; i < n - FEWEST_RUNS; i++) {
    sum += ranks[i]!;
    const before = i + 1;
    if (before < FEWEST_RUNS) continue;
    const expected = before * (n + 1) / 2;
    const deviation = Math.sqrt(before * (n - before) * (n + 1) / 12);
    const statistic = Math.abs(sum - expected) / deviation;
    if (statistic > best.statistic) best = { index: before, statistic };
  }
  return best;
}

/** From 1; equal values share the mean of theirs. */
function ranksOf(values: readonly number[]): Float64Array {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Float64Array(values.length);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) ranks[order[i]!] = (start + 1 + end) / 2;
  }
  return ranks;
}

/** How many metrics of a run were worse. */
export const worseIn = ({ models }: RunReport): number =>
  models.reduce((sum, { metrics }) => sum + metrics.filter(isWorse).length, 0);
