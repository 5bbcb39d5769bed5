/** One verdict for each metric of a model, by what the row of the metric says (`report/metrics.ts`). */
import {
  COUNTED,
  type CountedMetric,
  countedOf,
  type Counts,
  type Metric,
  rowOf,
  type TimedMetric,
} from "../report/metrics.ts";
import type { Fingerprint, MetricReport, StructureChange, Timed } from "../report/run_report.ts";
import { median, percentile } from "../run/statistics.ts";
import type { Checked } from "./build.ts";
import { machineDifferences } from "./fingerprint.ts";
import type { StoredModel, Structure } from "./manifest.ts";
import { judgeUnpaired, type TimeJudgement } from "./verdict.ts";

/** A metric's report with what most have in common left open. */
export function metric(
  name: Metric,
  rest: Partial<MetricReport> & Pick<MetricReport, "verdict">,
): MetricReport {
  return {
    metric: name,
    unit: rowOf(name).unit,
    stored: null,
    current: null,
    ratio: null,
    noise: null,
    rounds: null,
    roundsNeeded: null,
    decides: rowOf(name).decides,
    reason: null,
    ...rest,
  };
}

/** A metric that is not judged, and why. */
export const refused = (name: Metric, reason: string, rest: Partial<MetricReport> = {}): MetricReport =>
  metric(name, { verdict: "refused", reason, ...rest });

export interface StructureOptions {
  readonly change: StructureChange;
  readonly threshold: number;
  /** TensorRT that built the plans. */
  readonly tensorrt: { readonly current: string | null; readonly stored: string | null };
}

/** What has no noise; of several rebuilds the one nearest to the stored one counts. */
export function structureMetrics(
  builds: readonly Structure[],
  stored: Structure,
  { change, threshold, tensorrt }: StructureOptions,
): MetricReport[] {
  const planless = planRefusal(builds[0]!, stored, tensorrt);
  const isWithoutPlans = builds[0]!.planBytes === null && stored.planBytes === null;
  const isLeftOut = (name: CountedMetric) => {
    const { key, ofPlan, isRare } = countedOf(name);
    const isNone = stored[key] === null || (stored[key] === 0 && builds[0]![key] === 0);
    return isRare ? isNone : ofPlan && isWithoutPlans;
  };
  return COUNTED.filter((name) => !isLeftOut(name)).map((name) => {
    const { key, ofPlan } = countedOf(name);
    const { judged, better } = rowOf(name);
    const counts = builds.map((build) => build[key]);
    const is = counts.includes(null) ? null : Math.min(...counts as number[]);
    const was = stored[key];
    const figures = { stored: was, current: is };
    if (ofPlan && planless !== null) return refused(name, planless, figures);
    if (is === null || was === null) {
      return refused(name, `the ${is === null ? "new" : "stored"} plan's schedule cannot be read`, figures);
    }
    const limit = judged === "threshold" ? 1 + threshold : 1;
    const [more, less] = better === "more" ? [was, is] : [is, was];
    const verdict = more > less * limit ? "worse" : more < less / limit ? "better" : "same";
    const isChanged = judged === "exact" && verdict !== "same";
    const reason = isChanged || judged === "named" ? namedChange(key, change) : null;
    return metric(name, { verdict, ...figures, reason: reason ?? (isChanged ? OTHERWISE : null) });
  });
}

const OTHERWISE = "shapes or types changed";

/** Whether a build has what a baseline of before it was recorded does not say. */
export const lacksCounts = (current: Structure, stored: Structure): boolean =>
  COUNTED.some((name) =>
    countedOf(name).isRare && stored[countedOf(name).key] === null && current[countedOf(name).key]
  );

function planRefusal(
  current: Structure,
  stored: Structure,
  { current: here, stored: there }: StructureOptions["tensorrt"],
): string | null {
  if (stored.planBytes === null) return "the baseline was saved without a plan";
  if (current.planBytes === null) return "no plan was built";
  if (here !== there) {
    return `another library version: the baseline's plan is TensorRT ${there}'s, this one is ${here}'s`;
  }
  return null;
}

/** "new: add blocks.0.extra; gone: ..." of what is counted; null where it is the same. */
function namedChange(key: keyof Counts, change: StructureChange): string | null {
  const [added, removed] = key === "quantizedProducts"
    ? [change.quantizedAdded, change.quantizedRemoved]
    : key === "keptOperators"
    ? [change.keptAdded, change.keptRemoved]
    : key === "kernels" || key === "normalizationKernels"
    ? [change.kernelsAdded, change.kernelsRemoved]
    : [change.nodesAdded, change.nodesRemoved];
  const shown = (items: readonly string[]) =>
    items.slice(0, 4).join(", ") + (items.length > 4 ? ` and ${items.length - 4} more` : "");
  const said = [
    ...added.length > 0 ? [`new: ${shown(added)}`] : [],
    ...removed.length > 0 ? [`gone: ${shown(removed)}`] : [],
  ];
  return said.length === 0 ? null : said.join("; ");
}

/** Accuracy may fall by one example, which rounding decides; parity by a factor, or by not agreeing. */
export function outputMetrics(checked: Checked, stored: StoredModel, examples: number): MetricReport[] {
  return [
    ...accuracyMetric(checked, stored, examples),
    ...parityMetric(checked, stored),
    ...quantizationMetric(checked, stored),
  ];
}

function accuracyMetric({ accuracy: is }: Checked, stored: StoredModel, examples: number): MetricReport[] {
  const was = stored.accuracy;
  if (is === null && was === null) return [];
  const figures = { stored: was && 100 * was, current: is && 100 * is };
  if (is === null) return [refused("accuracy", "this build has no labelled examples", figures)];
  if (was === null) {
    return [refused("accuracy", "the baseline was saved without labelled examples", figures)];
  }
  if (examples !== stored.examples) {
    const reason = `other examples: ${examples} here, ${stored.examples} in the baseline`;
    return [refused("accuracy", reason, figures)];
  }
  const one = 1.5 / examples;
  const verdict = is < was - one ? "worse" : is > was + one ? "better" : "same";
  return [metric("accuracy", { verdict, ...figures })];
}

/** Outputs may move by rounding, of which another processor has another: by a factor, from a floor on. */
const PARITY_FACTOR = 4;
const PARITY_FLOOR = 1e-5;

function parityMetric({ agreement: is }: Checked, { agreement: was }: StoredModel): MetricReport[] {
  if (was === null) return [];
  const fell = is.agrees === false && was.agrees !== false;
  const judged = byFactor("parity", is.maxRelError, was.maxRelError);
  return [
    fell ? { ...judged, verdict: "worse", reason: `the outputs no longer agree with ${is.against}` } : judged,
  ];
}

function quantizationMetric({ quantizationError: is }: Checked, { quantizationError: was }: StoredModel) {
  return is === null || was === null ? [] : [byFactor("quantization error", is, was)];
}

function byFactor(name: Metric, current: number, stored: number): MetricReport {
  const exceeds = (a: number, b: number) => a > PARITY_FLOOR && a > PARITY_FACTOR * b;
  const verdict = exceeds(current, stored) ? "worse" : exceeds(stored, current) ? "better" : "same";
  return metric(name, { stored, current, verdict });
}

/** Builds of old code cannot take turns: they are compared on one machine only, and differ only by much. */
export function buildTimeMetric(
  buildsMs: readonly number[],
  stored: StoredModel,
  { threshold, current, there }: { threshold: number; current: Fingerprint; there: Fingerprint },
): MetricReport[] {
  if (buildsMs.length === 0 || stored.buildsMs.length === 0) return [];
  const figures = { stored: median(stored.buildsMs), current: median(buildsMs) };
  const untimed = { backend: null, threads: null };
  const differences = machineDifferences({ ...current, ...untimed }, { ...there, ...untimed });
  if (current.tensorrt !== there.tensorrt) {
    differences.push(`TensorRT (here ${current.tensorrt}, there ${there.tensorrt})`);
  }
  if (differences.length > 0) {
    return [refused("build time", `another machine or library: ${differences.join(", ")}`, figures)];
  }
  return [metric("build time", { ...figures, ...judgeUnpaired(buildsMs, stored.buildsMs, { threshold }) })];
}

/** The report of a judgement on times; of throughput, figures are calls a second, the ratio is of times. */
export function timedMetric(
  name: TimedMetric,
  judgement: TimeJudgement,
  { loads, concurrency }: Timed,
): MetricReport {
  const { ratio, noise, ...judged } = judgement;
  const { unit, timed: { percentile: percent } } = rowOf(name);
  const shown = (samplesMs: readonly number[]) => {
    const typical = percentile(samplesMs, percent);
    return unit === "calls/s" ? 1000 * concurrency / typical : typical;
  };
  return metric(name, {
    ...judged,
    stored: shown(loads.flatMap(({ storedMs, againMs }) => [...storedMs, ...againMs])),
    current: shown(loads.flatMap(({ buildMs }) => buildMs)),
    // JSON knows no infinity: an end that is not known leaves the interval out.
    ratio: Number.isFinite(ratio.high) && ratio.low > 0 ? ratio : null,
    noise: Number.isFinite(noise.high) ? noise : null,
  });
}
