/**
 * The metrics that compare a build with a baseline: a row each, in the order in which they are shown. The
 * reports' and baselines' schemas, `--only` and its help, figures as words, what a history follows and the
 * README's table are derived from the rows. `src/regress/metrics.ts` gets and judges each figure, by the
 * row's `judged`.
 */
import { bytes } from "./phrases.ts";

/** How figures of a unit are written, and the change from one to another where it is no percentage. */
interface Unit {
  show(value: number): string;
  change?(difference: number): string;
}

type UnitName = "ms" | "calls/s" | "bytes" | "" | "%" | "relative";

const UNITS: Readonly<Record<UnitName, Unit>> = {
  ms: { show: (value) => `${value.toPrecision(4)} ms` },
  "calls/s": { show: (value) => `${value.toPrecision(4)} calls/s` },
  bytes: { show: bytes },
  /** A count. */
  "": { show: String, change: String },
  "%": {
    show: (value) => `${value.toFixed(2)} %`,
    change: (difference) => `${difference.toFixed(2)} points`,
  },
  relative: { show: (value) => value.toExponential(1), change: () => "" },
};

interface Row {
  readonly unit: UnitName;
  /**
   * How two figures are compared: by the interval of their ratio; by several samples each (Mann-Whitney);
   * exactly, naming what is new or gone where as many are there too; beyond the threshold; by more than one
   * labelled example; by a factor.
   */
  readonly judged: "interval" | "samples" | "exact" | "named" | "threshold" | "example" | "factor";
  /** Which is the better figure. */
  readonly better: "less" | "more";
  /** Whether the run is undecided without this verdict, although nobody asked for the metric by name. */
  readonly decides: boolean;
  /** The name by which `--only` takes it together with others. */
  readonly group?: string;
  /** Of times: the percentile of a loading's samples, and whether several calls run at once. */
  readonly timed?: { readonly percentile: 50 | 95 | 99; readonly concurrent: boolean };
  /**
   * Of counts: where a build's structure has it, whether it takes a plan, and whether it is left out where
   * there is none of it, or the baseline was saved before it was counted.
   */
  readonly counted?: { readonly key: string; readonly ofPlan: boolean; readonly isRare?: true };
}

const TIME = { unit: "ms", judged: "interval", better: "less", decides: false } as const;
const COUNT = { unit: "", judged: "exact", better: "less", decides: true, group: "structure" } as const;

/** What is compared between two builds, by the names that `--only` and reports use: the rows of the table. */
export type Metric =
  | "latency p50"
  | "latency p95"
  | "latency p99"
  | "throughput"
  | "build time"
  | "plan bytes"
  | "peak memory"
  | "nodes"
  | "kernels"
  | "normalization kernels"
  | "quantized products"
  | "kept operators"
  | "accuracy"
  | "parity"
  | "quantization error";

const TABLE = {
  "latency p50": { ...TIME, decides: true, group: "latency", timed: { percentile: 50, concurrent: false } },
  "latency p95": { ...TIME, group: "latency", timed: { percentile: 95, concurrent: false } },
  "latency p99": { ...TIME, group: "latency", timed: { percentile: 99, concurrent: false } },
  throughput: { ...TIME, unit: "calls/s", better: "more", timed: { percentile: 50, concurrent: true } },
  "build time": { ...TIME, judged: "samples" },
  "plan bytes": {
    ...COUNT,
    unit: "bytes",
    // A compiler may choose other code for the same network.
    judged: "threshold",
    counted: { key: "planBytes", ofPlan: true },
  },
  "peak memory": { ...COUNT, unit: "bytes", counted: { key: "peakBytes", ofPlan: false } },
  nodes: { ...COUNT, counted: { key: "nodes", ofPlan: false } },
  kernels: { ...COUNT, counted: { key: "kernels", ofPlan: true } },
  "normalization kernels": { ...COUNT, counted: { key: "normalizationKernels", ofPlan: true } },
  "quantized products": {
    ...COUNT,
    judged: "named",
    better: "more",
    counted: { key: "quantizedProducts", ofPlan: false, isRare: true },
  },
  "kept operators": {
    ...COUNT,
    judged: "named",
    counted: { key: "keptOperators", ofPlan: false, isRare: true },
  },
  accuracy: { unit: "%", judged: "example", better: "more", decides: true },
  parity: { unit: "relative", judged: "factor", better: "less", decides: true },
  "quantization error": { unit: "relative", judged: "factor", better: "less", decides: true },
} as const satisfies Readonly<Record<Metric, Row>>;

type Table = typeof TABLE;
/** Metrics whose row has `K`. */
type With<K extends "timed" | "counted"> = {
  [M in Metric]: Table[M] extends Readonly<Record<K, unknown>> ? M : never;
}[Metric];
export type TimedMetric = With<"timed">;
export type CountedMetric = With<"counted">;

/** All metrics, in the order in which they are shown. */
export const METRICS = Object.keys(TABLE) as [Metric, ...Metric[]];
export const TIMED = METRICS.filter((name): name is TimedMetric => "timed" in TABLE[name]);
export const COUNTED = METRICS.filter((name): name is CountedMetric => "counted" in TABLE[name]);

export function rowOf<M extends Metric>(metric: M): Table[M] & Row {
  return TABLE[metric];
}

/** Where a count is, without what its row has of its own. */
export const countedOf = (
  metric: CountedMetric,
): NonNullable<Row["counted"]> & { readonly key: keyof Counts } => TABLE[metric].counted;

/**
 * A build's counts, under the keys that the rows name; a plan's are null where it cannot be read, rare ones
 * in a baseline of before they were counted.
 */
export type Counts = {
  readonly [M in CountedMetric as Table[M]["counted"]["key"]]: Table[M]["counted"] extends
    { ofPlan: false; isRare?: never } ? number : number | null;
};

const optionOf = (metric: Metric): string => metric.replaceAll(" ", "-");

/** By what `--only` calls them together: the name of a group, or of the one metric that is in none. */
const GROUPS = [...Map.groupBy(METRICS, (name) => rowOf(name).group ?? optionOf(name))];

/** What `--only` takes: groups, and metrics with hyphens for blanks. */
export const SELECTIONS: ReadonlyMap<string, readonly Metric[]> = new Map<string, readonly Metric[]>([
  ...GROUPS.filter(([, names]) => names.length > 1),
  ...METRICS.map((name) => [optionOf(name), [name]] as const),
]);

/** The same for help: "latency (or latency-p50, latency-p95, latency-p99), throughput, ...". */
export function selectionsText(): string {
  return GROUPS.map(([group, names]) =>
    names.length === 1 ? group : `${group} (or ${names.map(optionOf).join(", ")})`
  ).join(", ");
}

/** A figure of a report, in words. */
export function figureText(unit: string, value: number | null): string {
  return value === null ? "-" : unitOf(unit)?.show(value) ?? String(value);
}

/** A ratio as a change: "+12.3 %". */
export const percent = (ratio: number): string =>
  `${ratio < 1 ? "-" : "+"}${Math.abs(100 * (ratio - 1)).toFixed(1)} %`;

/** The change between two figures: "+1" of counts, "-0.50 points", "+12.3 %"; "" where there is none. */
export function changeText(
  unit: string,
  { stored, current }: { stored: number | null; current: number | null },
): string {
  if (stored === null || current === null || stored === current) return "";
  const said = unitOf(unit)?.change?.(current - stored);
  if (said !== undefined) return said === "" ? "" : `${current > stored ? "+" : ""}${said}`;
  return stored > 0 ? percent(current / stored) : "";
}

function unitOf(unit: string): Unit | undefined {
  return Object.hasOwn(UNITS, unit) ? UNITS[unit as UnitName] : undefined;
}

/** What a history follows: times' ratio to the stored engine, exact figures themselves; else nothing. */
export function followed(metric: Metric): "ratio" | "figure" | undefined {
  const { judged } = rowOf(metric);
  return judged === "interval" ? "ratio" : judged === "samples" || judged === "factor" ? undefined : "figure";
}
