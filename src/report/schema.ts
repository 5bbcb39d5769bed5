/**
 * Validates `report.json`: the types of `report.ts` as a zod schema, which reads reports of earlier UNfolds,
 * too.
 */
// Dependencies are named in full, so that a script elsewhere can import UNfold without its deno.json.
import { z } from "npm:zod@4.6.7";
import { INT8_TARGETS } from "../ir/dtype.ts";
import { NORM_FAMILIES } from "../norms/families.ts";
import { PHASES, type Report } from "./report.ts";

const family = z.enum(NORM_FAMILIES);
const count = z.number().int().nonnegative();
const ms = z.number().nonnegative();

const stateDict = z.object({ key: z.string(), others: z.array(z.string()) });

const passes = z.array(z.object({
  pass: z.string(),
  pipeline: z.string().optional(),
  law: z.string().optional(),
  figures: z.record(z.string(), z.number()).optional(),
  nodesBefore: count,
  nodesAfter: count,
  ms: ms.optional(),
  detail: z.string().optional(),
})).readonly();

const Engine = z.object({
  path: z.string().nullable(),
  bytes: count.nullable(),
  layers: count.nullable(),
  kernels: count.nullable(),
  unknown: z.string().nullable(),
  normalizationKernels: count.nullable(),
  buildMs: ms.nullable(),
  onnx: z.object({ path: z.string(), bytes: count, nodes: count }),
  weights: z.string(),
  stateDict: stateDict.nullable().optional(),
  trained: z.boolean(),
  passes: passes.optional(),
});

const Difference = z.object({
  maxAbsError: z.number(),
  maxRelError: z.number(),
  against: z.string(),
  agrees: z.boolean().nullable(),
});

const nullableNumber = z.number().nullable();

const Ranges = z.object({
  precision: z.enum(["fp16", "bf16"]),
  samples: z.object({ origin: z.string(), count }),
  assumed: z.string(),
  networks: z.partialRecord(
    family,
    z.object({
      tensors: count,
      largest: nullableNumber,
      overflows: count,
      near: count,
      troubled: z.array(z.object({
        tensor: z.string(),
        op: z.string(),
        largest: nullableNumber,
        usual: nullableNumber,
        error: nullableNumber,
        verdict: z.enum(["fits", "near", "overflows", "small"]),
        helps: z.enum(["bf16", "fp32", "rescale"]).nullable(),
        factor: nullableNumber,
      })).readonly(),
    }),
  ),
});

const Timing = z.object({
  medianMs: ms,
  p95Ms: ms,
  minMs: ms,
  coefficientOfVariation: z.number(),
  samplesMs: z.array(ms).readonly(),
});

/** Validates the content of `report.json`. */
export const ReportSchema: z.ZodType<Report> = z.object({
  schema: z.literal(1),
  model: z.string(),
  provenance: z.object({
    startedAt: z.string(),
    command: z.string().nullable(),
    commit: z.string().nullable(),
    dirty: z.boolean(),
  }).optional(),
  checkpoint: z.object({
    path: z.string(),
    format: z.string(),
    stateDict: stateDict.nullable().default(null),
    prefix: z.string().default(""),
    settled: z.array(z.object({
      name: z.string(),
      value: z.string(),
      basis: z.enum(["tensors", "said", "option", "published", "assumed"]),
      why: z.string(),
    })).readonly().optional(),
    ignored: z.array(z.object({ name: z.string(), why: z.string() })),
  }).nullable(),
  precision: z.enum(["fp32", "tf32", "fp16", "bf16"]),
  targets: z.array(z.string()).readonly().nullable().optional(),
  batch: z.string(),
  dims: z.record(z.string(), count).optional(),
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
      keepsShift: z.boolean().optional(),
      carried: z.object({ min: z.number(), max: z.number() }).optional(),
      refused: z.object({ consumer: z.string(), reason: z.string() }).optional(),
    })),
  }),
  passes,
  engines: z.partialRecord(family, Engine),
  phases: z.array(
    z.object({ phase: z.enum(PHASES), network: family.nullable(), ms, peakBytes: count }),
  ).readonly().default([]),
  ranges: Ranges.nullable().optional(),
  notExecuted: z.array(z.string()).readonly().optional(),
  parity: Difference.extend({
    precision: z.literal("fp32"),
    emitted: Difference.extend({ precision: z.string() }).nullable(),
    problem: z.string().nullable(),
    reference: Difference.nullable(),
  }).nullable(),
  accuracy: z.record(z.string(), z.number()).nullable(),
  latency: z.object({
    backend: z.string(),
    precision: z.string(),
    whyCpu: z.string().nullable(),
    batch: count,
    rounds: count,
    ...Object.fromEntries(NORM_FAMILIES.map((name) => [name, Timing.optional()])) as Record<
      (typeof NORM_FAMILIES)[number],
      z.ZodOptional<typeof Timing>
    >,
    loadings: z.array(z.number()).readonly().optional(),
    ratio: z.number(),
    ratioLow: z.number(),
    ratioHigh: z.number(),
    ratioOfMinima: z.number(),
    noiseLow: z.number(),
    noiseHigh: z.number(),
    verdict: z.enum(["faster", "slower", "no difference shown"]),
    warnings: z.array(z.string()),
  }).nullable(),
  int8: z.object({
    target: z.enum(INT8_TARGETS).optional(),
    onnx: z.object({ path: z.string(), bytes: count, nodes: count }),
    products: count,
    quantized: count,
    inFloat: z.array(z.object({ name: z.string(), error: z.number() })).readonly(),
    samples: count,
    sums: z.object({ products: count, rows: count, largestDifference: z.number() }).optional(),
    gate: z.object({
      passed: z.boolean(),
      outputError: z.number(),
      limit: z.number(),
      accuracy: z.object({ fp32: z.number(), int8: z.number(), examples: count }).nullable(),
    }),
    passes: passes.optional(),
    latency: z.object({
      backend: z.string(),
      batch: count,
      rounds: count,
      ratio: z.number(),
      ratioLow: z.number(),
      ratioHigh: z.number(),
      medianMs: ms,
    }).nullable(),
  }).nullable().optional(),
  environment: z.object({
    unfold: z.string(),
    deno: z.string(),
    os: z.string(),
    cpu: z.string(),
    cores: count,
    tensorrt: z.object({ version: z.string(), flavour: z.string(), source: z.string() }).nullable(),
  }),
});
