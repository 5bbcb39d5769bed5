/**
 * A run against a baseline, as a type and as a zod schema: what `deno task regress --format json` prints and
 * what a baseline's history is made of. Times are in milliseconds, sizes in bytes; a ratio is the new build's
 * over the stored one's, below 1 is less. Raw samples are always there.
 */
import { z } from "npm:zod@4.6.7";
import { UnfoldError } from "../errors.ts";
import { type Metric, METRICS } from "./metrics.ts";

const count: z.ZodType<number> = z.number().int().nonnegative();
const ms: z.ZodType<number> = z.number().nonnegative();

/** The machine and the software that figures come from. */
export interface Fingerprint {
  /** The operating system, and the processor's kind. */
  readonly os: string;
  /** The processor's name. */
  readonly cpu: string;
  /** Logical processors. */
  readonly cores: number;
  /** Of the fastest core; null where the system does not say. */
  readonly clockMHz: number | null;
  /** "onnxruntime 1.30.0, CPU, 2 threads", or TensorRT's version and the GPU; null where nothing is timed. */
  readonly backend: string | null;
  /** What computed, in threads; null where nothing was timed. */
  readonly threads: number | null;
  /** Whether a GPU ran the plans themselves. */
  readonly onGpu: boolean;
  /** Null where no plan was built. */
  readonly tensorrt: string | null;
  /** UNfold's version. */
  readonly unfold: string;
  /** Deno's version. */
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
export type MetricVerdict = "faster" | "better" | "same" | "slower" | "worse" | "cannot tell" | "refused";
const METRIC_VERDICTS = [
  "faster",
  "better",
  "same",
  "slower",
  "worse",
  "cannot tell",
  "refused",
] as const satisfies readonly MetricVerdict[];

const IntervalSchema: z.ZodType<{ readonly low: number; readonly high: number }> = z.object({
  low: z.number(),
  high: z.number(),
});

/** One metric of one model, then and now. */
export interface MetricReport {
  /** Which. */
  readonly metric: Metric;
  /** What is judged. */
  readonly verdict: MetricVerdict;
  /** "ms", "calls/s" of `concurrency` at once, "bytes", "" (a count), "%" (accuracy), "relative" (parity). */
  readonly unit: string;
  /** The baseline's value, in `unit`; null where there is none. */
  readonly stored: number | null;
  /** This build's. */
  readonly current: number | null;
  /** For measured times: the typical ratio over loadings, and the ends of its 95 % interval. */
  readonly ratio: { readonly median: number; readonly low: number; readonly high: number } | null;
  /** Ratios that are no difference: the stored engine, loaded twice, against itself in the same rounds. */
  readonly noise: { readonly low: number; readonly high: number } | null;
  /** Rounds that were timed, and about how many a judgement takes; null if unknown, or no number would do. */
  readonly rounds: number | null;
  /** See `rounds`. */
  readonly roundsNeeded: number | null;
  /** Whether a verdict that is missing makes the whole run undecided. */
  readonly decides: boolean;
  /** One sentence: why it is refused or cannot be told, or what differs. */
  readonly reason: string | null;
}

const MetricReportSchema: z.ZodType<MetricReport> = z.object({
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

/** What was read: wall time, the processor time of the process, or a GPU's own clock. */
export type RunClock = "wall" | "processor" | "device";
const CLOCKS = ["wall", "processor", "device"] as const satisfies readonly RunClock[];

/** Engines that were loaded together and timed in turns: each round gives a sample of each. */
export interface Load {
  /** Which rebuild, from 0. */
  readonly build: number;
  /** The baseline's engine, per call. */
  readonly storedMs: readonly number[];
  /** The stored engine, loaded a second time. */
  readonly againMs: readonly number[];
  /** This build's engine, per call. */
  readonly buildMs: readonly number[];
}

const LoadSchema: z.ZodType<Load> = z.object({
  build: count,
  storedMs: z.array(ms).readonly(),
  againMs: z.array(ms).readonly(),
  buildMs: z.array(ms).readonly(),
});

/** Times in milliseconds per call; of `concurrency` calls at once, until the last ends. */
export interface Timed {
  /** What ran the engines. */
  readonly backend: string;
  /** Wall time, the processor time of the process, or a GPU's own. */
  readonly clock: RunClock;
  /** Calls at a time. */
  readonly concurrency: number;
  /** One after the other. */
  readonly loads: readonly Load[];
  /** What makes the times less trustworthy, as sentences. */
  readonly warnings: readonly string[];
}

const TimedSchema: z.ZodType<Timed> = z.object({
  backend: z.string(),
  clock: z.enum(CLOCKS),
  concurrency: count,
  loads: z.array(LoadSchema).readonly(),
  warnings: z.array(z.string()).readonly(),
});

/** What differs in what the two builds consist of, by layer: "add extra.0 [8, 64]". */
export interface StructureChange {
  /** Nodes that the baseline's ONNX file has not. */
  readonly nodesAdded: readonly string[];
  /** Nodes that it alone has. */
  readonly nodesRemoved: readonly string[];
  /** Kernels that the baseline's plan has not. */
  readonly kernelsAdded: readonly string[];
  /** Kernels that it alone has. */
  readonly kernelsRemoved: readonly string[];
  /** Products in fewer bits that are not so in the baseline. */
  readonly quantizedAdded: readonly string[];
  /** Products that are so there alone. */
  readonly quantizedRemoved: readonly string[];
  /** Operators kept in another type, "fp32 head", that are not so in the baseline. */
  readonly keptAdded: readonly string[];
  /** Operators that are so there alone. */
  readonly keptRemoved: readonly string[];
}

const names = z.array(z.string()).readonly();
/** Absent in reports of before they were told. */
const laterNames = names.default([]);

const StructureChangeSchema: z.ZodType<StructureChange> = z.object({
  nodesAdded: names,
  nodesRemoved: names,
  kernelsAdded: names,
  kernelsRemoved: names,
  quantizedAdded: laterNames,
  quantizedRemoved: laterNames,
  keptAdded: laterNames,
  keptRemoved: laterNames,
});

/** One model, compared with what it was. */
export interface ModelRun {
  /** Its name. */
  readonly model: string;
  /** Its normalization. */
  readonly family: string;
  /** Its precision. */
  readonly precision: string;
  /** Its batch sizes, as they were given. */
  readonly batch: string;
  /** In the order in which they are shown. */
  readonly metrics: readonly MetricReport[];
  /** What the engines consist of. */
  readonly structure: StructureChange;
  /** Times behind the metrics; null where nothing was timed. */
  readonly latency: Timed | null;
  /** Of several calls at once; null where nothing was. */
  readonly throughput: Timed | null;
  /** How long each rebuild took. */
  readonly buildsMs: readonly number[];
}

const ModelRunSchema: z.ZodType<ModelRun> = z.object({
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

/** Of all models together. */
export type RunVerdict = "nothing worse" | "worse" | "could not judge";
const RUN_VERDICTS = [
  "nothing worse",
  "worse",
  "could not judge",
] as const satisfies readonly RunVerdict[];

/** A run against a baseline: what `regress` gives and `--format json` prints. */
export interface RunReport {
  /** The version of its format. */
  readonly schema: 1;
  /** Differs for each run. */
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** From the start to the verdict. */
  readonly durationMs: number;
  /** The baseline it ran against. */
  readonly baseline: {
    readonly name: string;
    readonly id: string;
    readonly savedAt: string;
    readonly commit: string | null;
    readonly fingerprint: Fingerprint;
  };
  /** Git's; null outside of a repository. */
  readonly commit: string | null;
  /** Whether files differed from the commit. */
  readonly dirty: boolean;
  /** The machine it ran on. */
  readonly fingerprint: Fingerprint;
  /** What it was asked for: `threshold` is a ratio, 0.03 being 3 %. */
  readonly options: {
    readonly threshold: number;
    readonly rebuilds: number;
    readonly maxTimeMs: number;
    readonly concurrency: number;
  };
  /** One by one. */
  readonly models: readonly ModelRun[];
  /** Of all. */
  readonly verdict: RunVerdict;
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

/**
 * Reads what `task regress --format json` prints.
 *
 * @throws {UnfoldError} a value that is none, with the first place that differs
 */
export function parseRunReport(value: unknown): RunReport {
  const result = RunReportSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UnfoldError(`this is no report of a run (${issue!.path.join(".")}: ${issue!.message})`);
}
