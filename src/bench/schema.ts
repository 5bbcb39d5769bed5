/**
 * `bench.json`: what `deno task bench` measured, with every sample, as a type for scripts and as a zod schema
 * for whoever reads the file. Times are in milliseconds, sizes in bytes; ratios are of paired rounds, below 1
 * means that the first one is faster. Absolute times are this machine's on that day; only ratios of one case
 * may be compared.
 */
// Dependencies are named in full, so that a script elsewhere can import UNfold without its deno.json.
import { z } from "npm:zod@4.6.7";

/** UNfold's own networks. */
export const VARIANTS = ["un", "lnBest", "lnExported", "none"] as const;
export type Variant = typeof VARIANTS[number];

/** What PyTorch makes of the same network with Layer Normalization. */
const PEER_VARIANTS = ["lnTorch", "lnTorchCompiled", "lnTorchExport"] as const;
export type PeerVariant = typeof PEER_VARIANTS[number];

/**
 * What NVIDIA's parser makes a plan of: PyTorch's network with Layer Normalization, or with a scale and a
 * shift in its place, as an offline normalization is where nothing folds it; by PyTorch's exporter of today
 * and by TorchScript's.
 */
export const PEER_PLANS = [
  "lnTorchExport",
  "lnTorchScript",
  "affineTorchExport",
  "affineTorchScript",
] as const;
export type PeerPlan = typeof PEER_PLANS[number];

export const ENGINES = ["onnxruntime", "openvino"] as const;
export type Engine = typeof ENGINES[number];

/** What networks compute in; int8 is UNfold's own, for ONNX Runtime. */
export const BENCH_PRECISIONS = ["fp32", "fp16", "bf16", "int8"] as const;
export type BenchPrecision = typeof BENCH_PRECISIONS[number];

/** In a table's words. */
export const VARIANT_LABELS: Readonly<Record<Variant | PeerVariant | PeerPlan, string>> = {
  un: "UN folded",
  lnBest: "LN at its best",
  lnExported: "LN as exported",
  none: "no normalization",
  lnTorch: "LN, PyTorch",
  lnTorchCompiled: "LN, torch.compile",
  lnTorchExport: "LN, PyTorch's export",
  lnTorchScript: "LN, TorchScript's export",
  affineTorchExport: "UN not folded, PyTorch's export",
  affineTorchScript: "UN not folded, TorchScript's export",
};

const numbers = z.array(z.number()).readonly();

const parity = z.object({
  /** max |a - b| / max |b| over all outputs; null where it is infinite. */
  maxRelError: z.number().nullable(),
  /** What it is compared with. */
  against: z.string(),
  /** Whether the difference is rounding in this precision. */
  agrees: z.boolean(),
  /** The bound of that. */
  bound: z.number(),
}).readonly();

const contender = z.object({
  /** `un/onnxruntime/fp32`. */
  id: z.string(),
  variant: z.enum([...VARIANTS, ...PEER_VARIANTS]),
  engine: z.enum([...ENGINES, "pytorch"]),
  precision: z.enum(BENCH_PRECISIONS),
  /** The engine in its own words, with version and threads. */
  backend: z.string(),
  gflop: z.number(),
  medianMs: z.number(),
  minMs: z.number(),
  p90Ms: z.number(),
  coefficientOfVariation: z.number(),
  /** The share that the network reaches of the machine's matrix product, in the same, fastest rounds. */
  utilization: z.number(),
  parity,
  samplesMs: numbers,
}).readonly();

const ratio = z.object({
  /** "UN folded / LN at its best". */
  name: z.string(),
  numerator: z.string(),
  denominator: z.string(),
  /** One of each loading of both; absent in files of before networks were loaded again. */
  loadings: numbers.optional(),
  /** The median over loadings. */
  median: z.number(),
  /** Its 95 % interval. */
  low: z.number(),
  high: z.number(),
  ofMinima: z.number(),
  /** Against the noise of this case, and 3 %. */
  verdict: z.enum(["slower", "faster", "no difference shown"]),
}).readonly();

const benchCase = z.object({
  model: z.string(),
  title: z.string(),
  batch: z.number(),
  rounds: z.number(),
  contenders: z.array(contender).readonly(),
  ratios: z.array(ratio).readonly(),
  /** The baseline timed against itself: ratios within are no difference. */
  noise: z.object({ low: z.number(), high: z.number(), contender: z.string() }).readonly(),
  /** The fastest of the matrix products that stand for the machine's peak, in these rounds. */
  peak: z.object({ product: z.string(), gflopPerS: z.number(), best: z.number(), samplesMs: numbers })
    .readonly(),
  skipped: z.array(z.object({ id: z.string(), why: z.string() }).readonly()).readonly(),
  warnings: z.array(z.string()).readonly(),
}).readonly();

const structure = z.object({
  model: z.string(),
  batch: z.number(),
  precision: z.string(),
  variant: z.enum([...VARIANTS, ...PEER_PLANS]),
  /** Kernels that TensorRT's plan starts; null where the plan cannot be read. */
  kernels: z.number().nullable(),
  normalizationKernels: z.number().nullable(),
  planBytes: z.number(),
  /** What normalizations read and write, from the graph; null of PyTorch's. */
  normalizationBytes: z.number().nullable(),
}).readonly();

export const BenchReportSchema = z.object({
  schema: z.literal(1),
  command: z.string(),
  startedAt: z.string(),
  machine: z.object({
    os: z.string(),
    cpu: z.string(),
    cores: z.number(),
    threads: z.number(),
    /** Of the minute before; null where it may not be known. */
    loadAverage: z.number().nullable(),
  }).readonly(),
  /** By name: unfold, deno, and of the engines and peers that took part. */
  versions: z.record(z.string(), z.string()).readonly(),
  cases: z.array(benchCase).readonly(),
  /** From compiled plans; null where none were asked for. */
  structure: z.array(structure).readonly().nullable(),
  /** What was left out altogether, and why. */
  notes: z.array(z.string()).readonly(),
}).readonly();

export type BenchReport = z.infer<typeof BenchReportSchema>;
export type BenchCase = z.infer<typeof benchCase>;
export type BenchContender = z.infer<typeof contender>;
export type BenchRatio = z.infer<typeof ratio>;
export type BenchStructure = z.infer<typeof structure>;

/** Behind an engine's name; fp32 goes without saying. */
export const inPrecision = ({ precision }: Pick<BenchContender, "precision">): string =>
  precision === "fp32" ? "" : `, ${precision}`;

/** The engines of a ratio, which may be two, and its precision. */
export function engineOf(
  { numerator, denominator }: BenchRatio,
  contenders: readonly BenchContender[],
): string {
  const both = [numerator, denominator].flatMap((id) => contenders.filter((one) => one.id === id));
  const engines = new Set(both.map(({ engine }) => engine));
  return [...engines].join(" / ") + (both[0] === undefined ? "" : inPrecision(both[0]));
}
