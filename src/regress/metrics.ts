/** One verdict for each metric of a model: a table of rules for what is exact, and the words for what is measured. */
import type { Fingerprint, Metric, MetricReport, StructureChange, Timed } from "../report/run_report.ts";
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
    unit: "",
    stored: null,
    current: null,
    ratio: null,
    noise: null,
    rounds: null,
    roundsNeeded: null,
    decides: true,
    reason: null,
    ...rest,
  };
}

/** The same refusal for several metrics. */
export const refusedAll = (names: readonly Metric[], reason: string): MetricReport[] =>
  names.map((name) => metric(name, { verdict: "refused", reason }));

const COUNTS = [
  { name: "peak memory", key: "peakBytes", unit: "bytes", ofPlan: false },
  { name: "nodes", key: "nodes", unit: "", ofPlan: false },
  { name: "kernels", key: "kernels", unit: "", ofPlan: true },
  { name: "normalization kernels", key: "normalizationKernels", unit: "", ofPlan: true },
] as const;

export interface StructureOptions {
  readonly change: StructureChange;
  readonly threshold: number;
  /** TensorRT that built the plans. */
  readonly tensorrt: { readonly current: string | null; readonly stored: string | null };
}

/**
 * What has no noise: any increase is worse. A plan's size is compared beyond the threshold, since a compiler may choose
 * other code for the same network; of several rebuilds the one nearest to the stored one counts.
 */
export function structureMetrics(
  builds: readonly Structure[],
  stored: Structure,
  { change, threshold, tensorrt }: StructureOptions,
): MetricReport[] {
  const current = builds[0]!;
  const metrics: MetricReport[] = [];
  const planless = planRefusal(current, stored, tensorrt);
  if (current.planBytes !== null || stored.planBytes !== null) {
    metrics.push(
      planless ? metric("plan bytes", { verdict: "refused", unit: "bytes", reason: planless }) : planSize(),
    );
  }
  for (const { name, key, unit, ofPlan } of COUNTS) {
    if (ofPlan && current.planBytes === null && stored.planBytes === null) continue;
    const counts = builds.map((build) => build[key]);
    const [a, b] = [counts.includes(null) ? null : Math.min(...counts as number[]), stored[key]];
    if (ofPlan && planless !== null) {
      metrics.push(metric(name, { verdict: "refused", stored: b, current: a, unit, reason: planless }));
    } else if (a === null || b === null) {
      const reason = `the ${a === null ? "new" : "stored"} plan's schedule cannot be read`;
      metrics.push(metric(name, { verdict: "refused", stored: b, current: a, unit, reason }));
    } else {
      const verdict = a > b ? "worse" : a < b ? "better" : "same";
      const reason = verdict === "same" ? null : namedChange(ofPlan ? "kernels" : "nodes", change);
      metrics.push(metric(name, { verdict, stored: b, current: a, unit, reason }));
    }
  }
  return metrics;

  function planSize(): MetricReport {
    const was = stored.planBytes!;
    const is = Math.min(...builds.map(({ planBytes }) => planBytes ?? Infinity));
    const verdict = is > was * (1 + threshold) ? "worse" : is < was / (1 + threshold) ? "better" : "same";
    return metric("plan bytes", { verdict, unit: "bytes", stored: was, current: is });
  }
}

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

/** "more: add blocks.0.extra; fewer: ..." of nodes or kernels. */
function namedChange(kind: "nodes" | "kernels", change: StructureChange): string {
  const [added, removed] = kind === "nodes"
    ? [change.nodesAdded, change.nodesRemoved]
    : [change.kernelsAdded, change.kernelsRemoved];
  const shown = (items: readonly string[]) =>
    items.slice(0, 4).join(", ") + (items.length > 4 ? ` and ${items.length - 4} more` : "");
  return [
    ...added.length > 0 ? [`new: ${shown(added)}`] : [],
    ...removed.length > 0 ? [`gone: ${shown(removed)}`] : [],
  ].join("; ") || "shapes or types changed";
}

/** Outputs may move by rounding, of which another processor has another: by a factor, from a floor on. */
const PARITY_FACTOR = 4;
const PARITY_FLOOR = { fp32: 1e-5, fp16: 1e-3, bf16: 1e-2 } as const;

/** Accuracy may fall by one example, which rounding can decide; parity by a factor, or from agreeing to not. */
export function outputMetrics(checked: Checked, stored: StoredModel, examples: number): MetricReport[] {
  const metrics: MetricReport[] = [];
  if (stored.accuracy !== null || checked.accuracy !== null) {
    const [a, b] = [checked.accuracy, stored.accuracy];
    const common = {
      unit: "%",
      stored: b === null ? null : 100 * b,
      current: a === null ? null : 100 * a,
    };
    if (a === null || b === null || examples !== stored.examples) {
      const reason = a === null
        ? "this build has no labelled examples"
        : b === null
        ? "the baseline was saved without labelled examples"
        : `other examples: ${examples} here, ${stored.examples} in the baseline`;
      metrics.push(metric("accuracy", { ...common, verdict: "refused", reason }));
    } else {
      const one = 1.5 / examples;
      const verdict = a < b - one ? "worse" : a > b + one ? "better" : "same";
      metrics.push(metric("accuracy", { ...common, verdict }));
    }
  }
  const [a, b] = [checked.agreement, stored.agreement];
  if (b !== null) {
    const common = { unit: "relative", stored: b.maxRelError, current: a.maxRelError };
    const floor = PARITY_FLOOR.fp32;
    const fell = a.agrees === false && b.agrees !== false;
    const larger = a.maxRelError > floor && a.maxRelError > PARITY_FACTOR * b.maxRelError;
    const smaller = b.maxRelError > floor && b.maxRelError > PARITY_FACTOR * a.maxRelError;
    metrics.push(
      metric("parity", {
        ...common,
        verdict: fell || larger ? "worse" : smaller ? "better" : "same",
        reason: fell ? `the outputs no longer agree with ${a.against}` : null,
      }),
    );
  }
  return metrics;
}

/** Builds cannot take turns with those of old code: they are compared on one machine only, and only where they differ a lot. */
export function buildTimeMetric(
  buildsMs: readonly number[],
  stored: StoredModel,
  { threshold, current, there }: { threshold: number; current: Fingerprint; there: Fingerprint },
): MetricReport[] {
  if (buildsMs.length === 0 || stored.buildsMs.length === 0) return [];
  const common = {
    unit: "ms",
    stored: median(stored.buildsMs),
    current: median(buildsMs),
    decides: false,
  };
  const differences = machineDifferences({ ...current, backend: null, threads: null }, {
    ...there,
    backend: null,
    threads: null,
  });
  if (current.tensorrt !== there.tensorrt) {
    differences.push(`TensorRT (here ${current.tensorrt}, there ${there.tensorrt})`);
  }
  if (differences.length > 0) {
    const reason = `another machine or library: ${differences.join(", ")}`;
    return [metric("build time", { ...common, verdict: "refused", reason })];
  }
  return [metric("build time", { ...common, ...judgeUnpaired(buildsMs, stored.buildsMs, { threshold }) })];
}

const PERCENTS = { "latency p50": 50, "latency p95": 95, "latency p99": 99, throughput: 50 } as const;
export type TimedMetric = keyof typeof PERCENTS;

/** The report of a judgement on times; of throughput, the figures are calls a second and the ratio is of times. */
export function timedMetric(
  name: TimedMetric,
  { judgement, timed: { loads, concurrency }, decides }: {
    judgement: TimeJudgement;
    timed: Timed;
    decides: boolean;
  },
): MetricReport {
  const { verdict, ratio, noise, rounds, roundsNeeded, reason } = judgement;
  const typical = (samplesMs: readonly number[]) => percentile(samplesMs, PERCENTS[name]);
  const shown = (samplesMs: readonly number[]) =>
    name === "throughput" ? 1000 * concurrency / typical(samplesMs) : typical(samplesMs);
  return metric(name, {
    verdict,
    unit: name === "throughput" ? "calls/s" : "ms",
    stored: shown(loads.flatMap(({ storedMs, againMs }) => [...storedMs, ...againMs])),
    current: shown(loads.flatMap(({ buildMs }) => buildMs)),
    // JSON knows no infinity: an end that is not known leaves the interval out.
    ratio: Number.isFinite(ratio.high) && ratio.low > 0 ? ratio : null,
    noise: Number.isFinite(noise.high) ? noise : null,
    rounds,
    roundsNeeded,
    decides,
    reason,
  });
}
