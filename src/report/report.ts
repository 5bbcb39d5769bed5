/**
 * `report.json`: what a build found, made and measured, as zod schemas, which read reports of earlier UNfolds
 * too, and the types of what they give. Times are in milliseconds, sizes in bytes, ratios are the folded
 * network's over the reference's.
 */
// Dependencies are named in full, so that a script elsewhere can import UNfold without its deno.json.
import { z } from "npm:zod@4.6.7";
import { PRECISIONS } from "../ir/dtype.ts";
import { NORM_FAMILIES } from "../norms/families.ts";
import { count, family, ms, onnxFile, passes } from "./parts.ts";
import { PhaseSchema } from "./phases.ts";
import { int8, quantization } from "./quantization.ts";

export type { PassReport } from "./parts.ts";
export type { GateReport, Int8Report, QuantizationReport } from "./quantization.ts";

/** A number that was infinite or NaN is null. */
const nullableNumber = z.number().nullable();
const texts = z.array(z.string()).readonly();

/** A state dict of a file by its keys ("" at the top), and those of the others. */
const stateDict = z.object({ key: z.string(), others: texts });
export type StateDictReport = z.infer<typeof stateDict>;

/** What of a network is in another type, one entry for each `--keep`. */
const kept = z.object({
  precision: z.enum(PRECISIONS),
  scopes: z.string(),
  /** The operators that are computed in it. */
  nodes: texts,
  /** Normalizations that it names and that are folded, into what: nothing of them is computed. */
  folded: z.array(z.object({ norm: z.string(), into: texts })).readonly(),
});

/** One engine and its ONNX twin. Without an engine (`--no-engine`) all that is its own is null. */
const engine = z.object({
  path: z.string().nullable(),
  bytes: count.nullable(),
  /** Layers of the network that was described to TensorRT, constants included. */
  layers: count.nullable(),
  /** Kernels in the plan's schedule; null where the plan cannot be read, for the reason in `unknown`. */
  kernels: count.nullable(),
  unknown: z.string().nullable(),
  normalizationKernels: count.nullable(),
  buildMs: ms.nullable(),
  onnx: onnxFile,
  /** Where the weights came from. */
  weights: z.string(),
  /** Which of the state dicts in that file; null where there is but one, undefined in older reports. */
  stateDict: stateDict.nullable().optional(),
  /** Whether they were trained with this normalization; if not, only the latency means something. */
  trained: z.boolean(),
  /** Absent in reports of before anything could be kept. */
  kept: z.array(kept).readonly().optional(),
  /** What was done to the network for TensorRT and for its ONNX file; absent in older reports. */
  passes: passes.optional(),
});
export type EngineReport = z.infer<typeof engine>;

/** How far outputs are from what they should be. */
const difference = z.object({
  /** `max |a - b|` over all examples and outputs. */
  maxAbsError: z.number(),
  /** `max |a - b| / max |b|`. */
  maxRelError: z.number(),
  against: z.string(),
  /** Whether that is rounding; null where no outputs of the training framework say what is right. */
  agrees: z.boolean().nullable(),
});
export type DifferenceReport = z.infer<typeof difference>;

/**
 * The fold, judged in fp32 by ONNX Runtime on the CPU, without the rounding of narrower types; `emitted` is
 * the network as TensorRT is given it, in fp32 with each result rounded. No engine is run for either.
 */
const parity = difference.extend({
  precision: z.literal("fp32"),
  emitted: difference.extend({ precision: z.string() }).nullable(),
  /** Why the emitted network could not be compared: mostly an overflow; null where it was, or was not run. */
  problem: z.string().nullable(),
  /** The reference network against the framework's outputs for it, in fp32; null where there are none. */
  reference: difference.nullable(),
});
export type ParityReport = z.infer<typeof parity>;

/** What a run says of one tensor, before it is rounded. */
const tensorRange = z.object({
  /** Its name in the network that TensorRT is given: the scope of the layer that computes it. */
  tensor: z.string(),
  op: z.string(),
  /** Largest magnitude. */
  largest: nullableNumber,
  /** The root of the mean square. */
  usual: nullableNumber,
  /** The root of the mean square of what rounding does to it, over `usual`. */
  error: nullableNumber,
  /**
   * `overflows`: beyond the type's largest number. `near`: within a factor of 8 of it, or an attention's
   * scores beyond it, which fused kernels keep in fp32. `small`: rounding costs more digits than bf16's
   * would, and it is multiplied rather than added.
   */
  verdict: z.enum(["fits", "near", "overflows", "small"]),
  /** `rescale`: a residual stream, or what writes it, can be divided by `factor`. Null where it fits. */
  helps: z.enum(["bf16", "fp32", "rescale"]).nullable(),
  factor: nullableNumber,
});
export type TensorRange = z.infer<typeof tensorRange>;

const networkRanges = z.object({
  /** How many were looked at. */
  tensors: count,
  largest: nullableNumber,
  overflows: count,
  near: count,
  /** Those that do not simply fit, in the order in which they are computed. */
  troubled: z.array(tensorRange).readonly(),
});
export type NetworkRanges = z.infer<typeof networkRanges>;

/** Whether the values of the networks that TensorRT is given fit fp16 or bf16, on the samples there are. */
const ranges = z.object({
  precision: z.enum(["fp16", "bf16"]),
  samples: z.object({ origin: z.string(), count }),
  /** What of an engine's arithmetic was assumed. */
  assumed: z.string(),
  networks: z.partialRecord(family, networkRanges),
});
export type RangesReport = z.infer<typeof ranges>;

const timing = z.object({
  medianMs: ms,
  p95Ms: ms,
  minMs: ms,
  coefficientOfVariation: z.number(),
  samplesMs: z.array(ms).readonly(),
});
export type TimingReport = z.infer<typeof timing>;

/** Timings by normalization family, and what they say of each other. */
const latency = z.object({
  backend: z.string(),
  /** The engines' own on a GPU, fp32 on a CPU. */
  precision: z.string(),
  /** Why no GPU ran the engines; null where one did. */
  whyCpu: z.string().nullable(),
  batch: count,
  rounds: count,
  ...Object.fromEntries(NORM_FAMILIES.map((name) => [name, timing.optional()])) as Record<
    (typeof NORM_FAMILIES)[number],
    z.ZodOptional<typeof timing>
  >,
  /** One ratio of each loading of both networks; absent in reports of before networks were loaded again. */
  loadings: z.array(z.number()).readonly().optional(),
  /** The median over loadings; below 1 the folded network is faster. */
  ratio: z.number(),
  /** Ends of its 95 % interval. */
  ratioLow: z.number(),
  ratioHigh: z.number(),
  ratioOfMinima: z.number(),
  /** The reference against itself. */
  noiseLow: z.number(),
  noiseHigh: z.number(),
  verdict: z.enum(["faster", "slower", "no difference shown"]),
  warnings: texts,
});
export type LatencyReport = z.infer<typeof latency>;

/** A checkpoint that was recognised. */
const checkpoint = z.object({
  path: z.string(),
  /** The layout: "timm Swin Transformer". */
  format: z.string(),
  /** Which of the state dicts in the file; null where there is but one. */
  stateDict: stateDict.nullable().default(null),
  /** What was taken off all names: "module.", or "". */
  prefix: z.string().default(""),
  /** Values that no shape tells (heads, activation, ...), and what each rests on; absent in older reports. */
  settled: z.array(z.object({
    name: z.string(),
    value: z.string(),
    basis: z.enum(["tensors", "said", "option", "published", "assumed"]),
    why: z.string(),
  })).readonly().optional(),
  /** Tensors that inference does not need, and why. */
  ignored: z.array(z.object({ name: z.string(), why: z.string() })).readonly(),
  /** What the file has in eight bits, and what was read of it; absent in older reports. */
  quantized: z.array(z.object({ name: z.string(), why: z.string() })).readonly().optional(),
});
export type CheckpointReport = z.infer<typeof checkpoint>;

/** When, how and from what a build was made. */
const provenance = z.object({
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  /** As it was typed; null where a script called `buildModel`. */
  command: z.string().nullable(),
  /** Of the folder in which the build was started; null outside of Git repositories. */
  commit: z.string().nullable(),
  /** Whether there were changes that the commit does not have. */
  dirty: z.boolean(),
});
export type ProvenanceReport = z.infer<typeof provenance>;

/** The content of `report.json`. */
export const ReportSchema = z.object({
  schema: z.literal(1),
  model: z.string(),
  /** Absent in reports of before it was told. */
  provenance: provenance.optional(),
  /** The known layout that the given checkpoint was read as; null where none was. */
  checkpoint: checkpoint.nullable(),
  precision: z.enum(["fp32", "tf32", "fp16", "bf16"]),
  /**
   * Compute capabilities that the engines have code for, as their plans say; null without engines and of
   * Enterprise TensorRT, which builds for the GPU of its machine; absent in reports of before it was told.
   */
  targets: texts.nullable().optional(),
  /** As given: "8", "1,8,64" or "1:8:64". */
  batch: z.string(),
  /** Other open sizes that were fixed, by `--dim`; absent in reports of before it could be. */
  dims: z.record(z.string(), count).readonly().optional(),
  /** The normalizations of the network that was folded: `NormFold` of each. */
  norms: z.object({
    found: count,
    folded: count,
    remaining: count,
    where: z.array(z.object({
      norm: z.string(),
      family: z.string(),
      folded: z.boolean(),
      into: texts,
      through: texts,
      keepsShift: z.boolean().optional(),
      carried: z.object({ min: z.number(), max: z.number() }).optional(),
      refused: z.object({ consumer: z.string(), reason: z.string() }).optional(),
    })).readonly(),
  }),
  /** What the compiler did to the network that was folded, before any backend. */
  passes,
  engines: z.partialRecord(family, engine),
  /** In their order. */
  phases: z.array(PhaseSchema).readonly().default([]),
  /** Null of fp32, and where nothing was run (`--no-check`); absent in reports of before there was any. */
  ranges: ranges.nullable().optional(),
  /** What the figures are not of: each arithmetic for which a CPU, or another type, stood in. */
  notExecuted: texts.optional(),
  /** Null where nothing was compared (`--no-check`). */
  parity: parity.nullable(),
  /** Top-1 on the model's labelled data: unFolded, unUnfolded, ln; null without labels. */
  accuracy: z.record(z.string(), z.number()).readonly().nullable(),
  latency: latency.nullable(),
  /** Null unless engines are quantized; absent in reports of before they could be. */
  quantization: quantization.nullable().optional(),
  /** Null unless int8 was asked for; absent in reports of before there was any. */
  int8: int8.nullable().optional(),
  environment: z.object({
    unfold: z.string(),
    deno: z.string(),
    os: z.string(),
    cpu: z.string(),
    cores: count,
    /** Null where no engine was built. */
    tensorrt: z.object({ version: z.string(), flavour: z.string(), source: z.string() }).nullable(),
  }),
});
export type Report = z.infer<typeof ReportSchema>;
