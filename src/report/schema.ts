/**
 * `report.json`: what a build found, made and measured. The zod schema is the documentation of the file; machines that
 * read reports can validate with it.
 */
import { z } from "zod";
import { NORM_FAMILIES } from "../norms/mod.ts";

const family = z.enum(NORM_FAMILIES);
const count = z.number().int().nonnegative();
const ms = z.number().nonnegative();

const Engine = z.object({
  path: z.string(),
  bytes: count,
  layers: count.describe("layers of the network that was described to TensorRT, constants included"),
  kernels: count.nullable().describe("kernels in the plan's schedule; null where the plan cannot be read"),
  normalizationKernels: count.nullable(),
  buildMs: ms,
  phases: z.object({ describeMs: ms, buildMs: ms, writeMs: ms }),
  onnx: z.object({ path: z.string(), bytes: count, nodes: count }),
  weights: z.string().describe("where the weights came from"),
});

const Difference = z.object({
  maxAbsError: z.number().describe("max |a - b|"),
  maxRelError: z.number().describe("max |a - b| / max |b|, over all examples and classes"),
  against: z.string(),
});

const Timing = z.object({
  medianMs: ms,
  p95Ms: ms,
  minMs: ms,
  coefficientOfVariation: z.number(),
  samplesMs: z.array(ms),
});

/** The schema of `report.json`. */
export const ReportSchema = z.object({
  schema: z.literal(1),
  model: z.string(),
  precision: z.enum(["fp32", "fp16", "bf16"]),
  batch: z.string().describe("as given: 8, 1,8,64 or 1:8:64"),
  norms: z.object({
    found: count,
    folded: count,
    remaining: count,
    where: z.array(z.object({
      norm: z.string(),
      family: z.string(),
      folded: z.boolean(),
      into: z.array(z.string()).readonly(),
      through: z.array(z.string()).readonly(),
      refused: z.object({ consumer: z.string(), reason: z.string() }).optional(),
    })),
  }).describe("the normalizations of the network that was folded"),
  passes: z.array(z.object({ pass: z.string(), nodesBefore: count, nodesAfter: count, detail: z.string() })),
  engines: z.partialRecord(family, Engine),
  parity: Difference.extend({
    precision: z.literal("fp32").describe("folding is algebra: it is judged without the rounding of fp16"),
    emitted: Difference.extend({ precision: z.string() }).nullable().describe("the network as emitted"),
  }),
  accuracy: z.record(z.string(), z.number()).nullable()
    .describe("top-1 on the model's labelled data: unFolded, unUnfolded, ln; null without labels"),
  latency: z.object({
    backend: z.string(),
    precision: z.string().describe("the engines' own on a GPU, fp32 on a CPU"),
    whyCpu: z.string().nullable().describe("why no GPU ran the engines; null where one did"),
    batch: count,
    rounds: count,
    ...Object.fromEntries(NORM_FAMILIES.map((name) => [name, Timing.optional()])) as Record<
      (typeof NORM_FAMILIES)[number],
      z.ZodOptional<typeof Timing>
    >,
    ratio: z.number().describe("the folded network's time over the reference's, median of paired rounds"),
    ratioLow: z.number().describe("lower end of the 95 % bootstrap interval"),
    ratioHigh: z.number(),
    ratioOfMinima: z.number(),
    noiseLow: z.number().describe("the reference against itself"),
    noiseHigh: z.number(),
    verdict: z.enum(["faster", "slower", "no difference shown"]),
    warnings: z.array(z.string()),
  }).nullable(),
  environment: z.object({
    unfold: z.string(),
    deno: z.string(),
    os: z.string(),
    cpu: z.string(),
    cores: count,
    tensorrt: z.object({ version: z.string(), flavour: z.string(), source: z.string() }),
  }),
});

export type Report = z.infer<typeof ReportSchema>;
