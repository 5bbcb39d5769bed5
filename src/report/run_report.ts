/**
 * A run against a baseline, as a type and as a zod schema: what `deno task regress --format json` prints and what a
 * baseline's history is made of. Times are in milliseconds, sizes in bytes; a ratio is the new build's over the stored
 * one's, below 1 is less. Raw samples are always there.
 */
import { z } from "npm:zod@4.6.7";
import { type Metric, METRICS } from "./metrics.ts";

const count: z.ZodType<number> = z.number().int().nonnegative();
const ms: z.ZodType<number> = z.number().nonnegative();

/** The machine and the software that figures come from. */
export interface Fingerprint {
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  /** Of the fastest core; null where the system does not say. */
  readonly clockMHz: number | null;
  /** "onnxruntime 1.30.0, CPU, 2 threads", or TensorRT's version and the GPU's name; null where nothing was timed. */
  readonly backend: string | null;
  readonly threads: number | null;
  /** Whether a GPU ran the plans themselves. */
  readonly onGpu: boolean;
  /** Null where no plan was built. */
  readonly tensorrt: string | null;
  readonly unfold: string;
  readonly deno: string;
}

export const FingerprintSchema: z.ZodType<Fingerprint> = z.object({
  os: z.string(),
  cpu: z.string(),
  cores: count,
  clockMHz: z.number().nullable(),
  backend: z.string().nullable(),
  threads: count.nullable(),
  onGpu: z.boolean(),
  tensorrt: z.string().nullable(),
  unfold: z.string(),
  deno: z.string(),
});

/** `faster` and `slower` are said of times and throughput, `better` and `worse` of all else. */
export const METRIC_VERDICTS = [
  "faster",
  "better",
  "same",
  "slower",
  "worse",
  "cannot tell",
  "refused",
] as const;
export type MetricVerdict = (typeof METRIC_VERDICTS)[number];

const IntervalSchema: z.ZodType<{ readonly low: number; readonly high: number }> = z.object({
  low: z.number(),
  high: z.number(),
});

export interface MetricReport {
  readonly metric: Metric;
  readonly verdict: MetricVerdict;
  /** "ms", "calls/s" of `concurrency` at once, "bytes", "" for a count, "%" for accuracy, "relative" for parity. */
  readonly unit: string;
  readonly stored: number | null;
  readonly current: number | null;
  /** For measured times: the typical ratio over loadings of the engines, and the ends of its 95 % interval. */
  readonly ratio: { readonly median: number; readonly low: number; readonly high: number } | null;
  /** Ratios that are no difference: the stored engine, loaded twice, against itself in the same rounds. */
  readonly noise: { readonly low: number; readonly high: number } | null;
  /** Rounds that were timed, and about how many a judgement takes; null where that is not known, or no number would do. */
  readonly rounds: number | null;
  readonly roundsNeeded: number | null;
  /** Whether a verdict that is missing makes the whole run undecided. */
  readonly decides: boolean;
  /** One sentence: why it is refused or cannot be told, or what differs. */
  readonly reason: string | null;
}

export const MetricReportSchema: z.ZodType<MetricReport> = z.object({
  metric: z.enum(METRICS),
  verdict: z.enum(METRIC_VERDICTS),
  unit: z.string(),
  stored: z.number().nullable(),
  current: z.number().nullable(),
  ratio: z.object({ median: z.number(), low: z.number(), high: z.number() }).readonly().nullable(),
  noise: IntervalSchema.nullable(),
  rounds: count.nullable(),
  roundsNeeded: count.nullable(),
  decides: z.boolean(),
  reason: z.string().nullable(),
});

export const CLOCKS = ["wall", "processor", "device"] as const;
export type RunClock = (typeof CLOCKS)[number];

/** Engines that were loaded together and timed in turns: three samples of each round, one round after the other. */
export interface Load {
  /** Which rebuild, from 0. */
  readonly build: number;
  readonly storedMs: readonly number[];
  /** The stored engine, loaded a second time. */
  readonly againMs: readonly number[];
  readonly buildMs: readonly number[];
}

export const LoadSchema: z.ZodType<Load> = z.object({
  build: count,
  storedMs: z.array(ms).readonly(),
  againMs: z.array(ms).readonly(),
  buildMs: z.array(ms).readonly(),
});

/** Times in milliseconds per call; of `concurrency` calls at once, until the last ends. */
export interface Timed {
  readonly backend: string;
  /** Wall time, the processor time of the process, or a GPU's own. */
  readonly clock: RunClock;
  readonly concurrency: number;
  readonly loads: readonly Load[];
  readonly warnings: readonly string[];
}

export const TimedSchema: z.ZodType<Timed> = z.object({
  backend: z.string(),
  clock: z.enum(CLOCKS),
  concurrency: count,
  loads: z.array(LoadSchema).readonly(),
  warnings: z.array(z.string()).readonly(),
});

/** What differs in what the two builds consist of, by layer: "add extra.0 [8, 64]". */
export interface StructureChange {
  readonly nodesAdded: readonly string[];
  readonly nodesRemoved: readonly string[];
  readonly kernelsAdded: readonly string[];
  readonly kernelsRemoved: readonly string[];
}

export const StructureChangeSchema: z.ZodType<StructureChange> = z.object({
  nodesAdded: z.array(z.string()).readonly(),
  nodesRemoved: z.array(z.string()).readonly(),
  kernelsAdded: z.array(z.string()).readonly(),
  kernelsRemoved: z.array(z.string()).readonly(),
});

export interface ModelRun {
  readonly model: string;
  readonly family: string;
  readonly precision: string;
  readonly batch: string;
  readonly metrics: readonly MetricReport[];
  readonly structure: StructureChange;
  readonly latency: Timed | null;
  readonly throughput: Timed | null;
  readonly buildsMs: readonly number[];
}

export const ModelRunSchema: z.ZodType<ModelRun> = z.object({
  model: z.string(),
  family: z.string(),
  precision: z.string(),
  batch: z.string(),
  metrics: z.array(MetricReportSchema).readonly(),
  structure: StructureChangeSchema,
  latency: TimedSchema.nullable(),
  throughput: TimedSchema.nullable(),
  buildsMs: z.array(ms).readonly(),
});

export const RUN_VERDICTS = ["nothing worse", "worse", "could not judge"] as const;

export interface RunReport {
  readonly schema: 1;
  readonly id: string;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly baseline: {
    readonly name: string;
    readonly id: string;
    readonly savedAt: string;
    readonly commit: string | null;
    readonly fingerprint: Fingerprint;
  };
  /** Git's; null outside of a repository. */
  readonly commit: string | null;
  readonly dirty: boolean;
  readonly fingerprint: Fingerprint;
  readonly options: {
    readonly threshold: number;
    readonly rebuilds: number;
    readonly maxTimeMs: number;
    readonly concurrency: number;
  };
  readonly models: readonly ModelRun[];
  readonly verdict: (typeof RUN_VERDICTS)[number];
  /** What a reader must know to take the figures for what they are. */
  readonly notes: readonly string[];
}

export const RunReportSchema: z.ZodType<RunReport> = z.object({
  schema: z.literal(1),
  id: z.string(),
  startedAt: z.iso.datetime(),
  durationMs: ms,
  baseline: z.object({
    name: z.string(),
    id: z.string(),
    savedAt: z.iso.datetime(),
    commit: z.string().nullable(),
    fingerprint: FingerprintSchema,
  }).readonly(),
  commit: z.string().nullable(),
  dirty: z.boolean(),
  fingerprint: FingerprintSchema,
  options: z.object({
    threshold: z.number(),
    rebuilds: count,
    maxTimeMs: ms,
    concurrency: count,
  }).readonly(),
  models: z.array(ModelRunSchema).readonly(),
  verdict: z.enum(RUN_VERDICTS),
  notes: z.array(z.string()).readonly(),
});

export const isWorse = ({ verdict }: Pick<MetricReport, "verdict">): boolean =>
  verdict === "slower" || verdict === "worse";
const isUndecided = ({ verdict, decides }: MetricReport) =>
  decides && (verdict === "cannot tell" || verdict === "refused");

/** The verdict on a whole run. */
export function runVerdict(models: readonly ModelRun[]): RunReport["verdict"] {
  const metrics = models.flatMap(({ metrics }) => metrics);
  return metrics.some(isWorse) ? "worse" : metrics.some(isUndecided) ? "could not judge" : "nothing worse";
}
