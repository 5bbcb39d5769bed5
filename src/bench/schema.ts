/**
 * `bench.json`: what `deno task bench` measured, with every sample, as a type for scripts and as a zod schema
 * for whoever reads the file. Times are in milliseconds, sizes in bytes; ratios are of paired rounds, below 1
 * means that the first one is faster. Absolute times are this machine's on that day; only ratios of one case
 * may be compared.
 */
// Dependencies are named in full, so that a script elsewhere can import UNfold without its deno.json.
import { z } from "npm:zod@4.6.7";
import { ENGINE_QUANTIZATIONS } from "../ir/dtype.ts";
import { NORM_FAMILIES, type NormFamily } from "../norms/families.ts";

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

/** ONNX files of exporters that a network came from, as they are: its own, and its reference's. */
export const FILE_VARIANTS = ["ownFile", "referenceFile"] as const;
export type FileVariant = typeof FILE_VARIANTS[number];

/** Whether a variant is an exporter's file. */
export const isFileVariant = (variant: string): boolean => FILE_VARIANTS.some((file) => file === variant);

export const ENGINES = ["onnxruntime", "openvino"] as const;
export type Engine = typeof ENGINES[number];

/** What networks compute in on a CPU; int8 is UNfold's own, for ONNX Runtime. */
export const BENCH_PRECISIONS = ["fp32", "fp16", "bf16", "int8"] as const;
export type BenchPrecision = typeof BENCH_PRECISIONS[number];

/** What plans are counted in; in the quantized ones the rest is in fp16. */
export const PLAN_PRECISIONS = ["fp32", "fp16", "bf16", ...ENGINE_QUANTIZATIONS] as const;
export type PlanPrecision = typeof PLAN_PRECISIONS[number];

/** The normalizations that are compared: a network's own, which is folded, and its reference. */
export interface Families {
  readonly own: NormFamily;
  readonly reference: NormFamily;
}

const families = z.object({ own: z.enum(NORM_FAMILIES), reference: z.enum(NORM_FAMILIES) }).readonly();

type AnyVariant = Variant | FileVariant | PeerVariant | PeerPlan;

const LABELS: Readonly<Record<AnyVariant, (own: string, reference: string) => string>> = {
  un: (own) => `${own} folded`,
  lnBest: (_, reference) => `${reference} at its best`,
  lnExported: (_, reference) => `${reference} as exported`,
  none: () => "no normalization",
  ownFile: (own) => `${own}, the file as it is`,
  referenceFile: (_, reference) => `${reference}, the file as it is`,
  lnTorch: () => "LN, PyTorch",
  lnTorchCompiled: () => "LN, torch.compile",
  lnTorchExport: () => "LN, PyTorch's export",
  lnTorchScript: () => "LN, TorchScript's export",
  affineTorchExport: () => "UN not folded, PyTorch's export",
  affineTorchScript: () => "UN not folded, TorchScript's export",
};

/** All of them, in the order in which colours are given. */
export const ALL_VARIANTS = Object.keys(LABELS) as readonly AnyVariant[];

/** As people write it: "UN", "affine". */
export const shortName = (family: NormFamily): string => family.length > 4 ? family : family.toUpperCase();

/** A variant in a table's words; without families those of UN and LN. */
export function variantLabel(variant: AnyVariant, compared?: Families): string {
  const { own = "un", reference = "ln" } = compared ?? {};
  return LABELS[variant](shortName(own), shortName(reference));
}

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
  variant: z.enum([...VARIANTS, ...FILE_VARIANTS, ...PEER_VARIANTS]),
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
  /** Absent in files of before other normalizations than UN and LN were compared. */
  families: families.optional(),
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
  families: families.optional(),
  batch: z.number(),
  precision: z.string(),
  variant: z.enum([...VARIANTS, ...FILE_VARIANTS, ...PEER_PLANS]),
  /** Why there is no plan of this variant; absent where there is one. */
  none: z.string().optional(),
  /** Kernels that TensorRT's plan starts; null where the plan cannot be read, or is not there. */
  kernels: z.number().nullable(),
  normalizationKernels: z.number().nullable(),
  /** Kernels that write numbers of 8 bits or 4, products aside; null where the plan cannot be read. */
  quantizationKernels: z.number().nullable().optional(),
  /** Products that are quantized, and all that there are; absent where none is to be. */
  quantized: z.object({ products: z.number(), of: z.number() }).readonly().optional(),
  /** Null where there is none. */
  planBytes: z.number().nullable(),
  /** What normalizations read and write, from the graph; null of what others exported. */
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

/** A row's words: of what others exported, whose plan it is. */
export function structureLabel({ variant, families }: BenchStructure): string {
  const label = variantLabel(variant, families);
  return isFileVariant(variant) ? `${label}, NVIDIA's parser` : label;
}

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
