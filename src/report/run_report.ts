/**
 * A run against a baseline, as a type and as a zod schema: what `deno task regress --format json` prints and what a
 * baseline's history is made of. Times are in milliseconds, sizes in bytes; a ratio is the new build's over the stored
 * one's, below 1 is less. Raw samples are always there.
 */
import { z } from "npm:zod@4.6.7";

const count = z.number().int().nonnegative();
const ms = z.number().nonnegative();

/** The machine and the software that figures come from. */
export const FingerprintSchema = z.object({
  os: z.string(),
  cpu: z.string(),
  cores: count,
  /** Of the fastest core; null where the system does not say. */
  clockMHz: z.number().nullable(),
  /** "onnxruntime 1.30.0, CPU, 2 threads", or TensorRT's version and the GPU's name; null where nothing was timed. */
  backend: z.string().nullable(),
  threads: count.nullable(),
  /** Whether a GPU ran the plans themselves. */
  onGpu: z.boolean(),
  /** Null where no plan was built. */
  tensorrt: z.string().nullable(),
  unfold: z.string(),
  deno: z.string(),
}).readonly();
export type Fingerprint = z.infer<typeof FingerprintSchema>;

/** What is compared, in the order it is shown. */
export const METRICS = [
  "latency p50",
  "latency p95",
  "latency p99",
  "throughput",
  "build time",
  "plan bytes",
  "peak memory",
  "nodes",
  "kernels",
  "normalization kernels",
  "accuracy",
  "parity",
] as const;
export type Metric = (typeof METRICS)[number];

/** `faster` and `slower` are said of times and throughput, `better` and `worse` of all else. */
export const VERDICTS = ["faster", "better", "same", "slower", "worse", "cannot tell", "refused"] as const;
export type Verdict = (typeof VERDICTS)[number];

const IntervalSchema = z.object({ low: z.number(), high: z.number() }).readonly();

export const MetricReportSchema = z.object({
  metric: z.enum(METRICS),
  verdict: z.enum(VERDICTS),
  /** "ms", "calls/s" of `concurrency` at once, "bytes", "" for a count, "%" for accuracy, "relative" for parity. */
  unit: z.string(),
  stored: z.number().nullable(),
  current: z.number().nullable(),
  /** For measured times: the typical ratio over loadings of the engines, and the ends of its 95 % interval. */
  ratio: z.object({ median: z.number(), low: z.number(), high: z.number() }).readonly().nullable(),
  /** Ratios that are no difference: the stored engine, loaded twice, against itself in the same rounds. */
  noise: IntervalSchema.nullable(),
  /** Rounds that were timed, and about how many a judgement takes; null where that is not known, or no number would do. */
  rounds: count.nullable(),
  roundsNeeded: count.nullable(),
  /** Whether a verdict that is missing makes the whole run undecided. */
  decides: z.boolean(),
  /** One sentence: why it is refused or cannot be told, or what differs. */
  reason: z.string().nullable(),
}).readonly();
export type MetricReport = z.infer<typeof MetricReportSchema>;

export const CLOCKS = ["wall", "processor", "device"] as const;
export type RunClock = (typeof CLOCKS)[number];

/** Engines that were loaded together and timed in turns: three samples of each round, one round after the other. */
export const LoadSchema = z.object({
  /** Which rebuild, from 0. */
  build: count,
  storedMs: z.array(ms).readonly(),
  /** The stored engine, loaded a second time. */
  againMs: z.array(ms).readonly(),
  buildMs: z.array(ms).readonly(),
}).readonly();
export type Load = z.infer<typeof LoadSchema>;

/** Times in milliseconds per call; of `concurrency` calls at once, until the last ends. */
export const TimedSchema = z.object({
  backend: z.string(),
  /** Wall time, the processor time of the process, or a GPU's own. */
  clock: z.enum(CLOCKS),
  concurrency: count,
  loads: z.array(LoadSchema).readonly(),
  warnings: z.array(z.string()).readonly(),
}).readonly();
export type Timed = z.infer<typeof TimedSchema>;

/** What differs in what the two builds consist of, by layer: "add extra.0 [8, 64]". */
export const StructureChangeSchema = z.object({
  nodesAdded: z.array(z.string()).readonly(),
  nodesRemoved: z.array(z.string()).readonly(),
  kernelsAdded: z.array(z.string()).readonly(),
  kernelsRemoved: z.array(z.string()).readonly(),
}).readonly();
export type StructureChange = z.infer<typeof StructureChangeSchema>;

export const ModelRunSchema = z.object({
  model: z.string(),
  family: z.string(),
  precision: z.string(),
  batch: z.string(),
  metrics: z.array(MetricReportSchema).readonly(),
  structure: StructureChangeSchema,
  latency: TimedSchema.nullable(),
  throughput: TimedSchema.nullable(),
  buildsMs: z.array(ms).readonly(),
}).readonly();
export type ModelRun = z.infer<typeof ModelRunSchema>;

export const RUN_VERDICTS = ["nothing worse", "worse", "could not judge"] as const;

export const RunReportSchema = z.object({
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
  /** Git's; null outside of a repository. */
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
  /** What a reader must know to take the figures for what they are. */
  notes: z.array(z.string()).readonly(),
}).readonly();
export type RunReport = z.infer<typeof RunReportSchema>;

export const isWorse = ({ verdict }: Pick<MetricReport, "verdict">): boolean =>
  verdict === "slower" || verdict === "worse";
const isUndecided = ({ verdict, decides }: MetricReport) =>
  decides && (verdict === "cannot tell" || verdict === "refused");

/** The verdict on a whole run. */
export function runVerdict(models: readonly ModelRun[]): RunReport["verdict"] {
  const metrics = models.flatMap(({ metrics }) => metrics);
  return metrics.some(isWorse) ? "worse" : metrics.some(isUndecided) ? "could not judge" : "nothing worse";
}
