/**
 * What a baseline says of itself, as types and as the zod schema that a stored one must pass: how each model was built,
 * its exact structure, its raw samples, and the machine all of it came from. Times are in milliseconds, sizes in bytes.
 */
import { z } from "npm:zod@4.6.7";
import { FingerprintSchema } from "../report/run_report.ts";

const count = z.number().int().nonnegative();
const ms = z.number().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Names of baselines, models and files: one path component that means the same everywhere. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const name = z.string().regex(NAME);

const NodeSchema = z.object({ name: z.string(), op: z.string(), shape: z.string() }).readonly();
const KernelSchema = z.object({ kind: z.string(), name: z.string(), layers: z.array(z.string()) }).readonly();

/** What a build consists of: figures without noise, the same on any machine. */
export const StructureSchema = z.object({
  /** Operators of the network as emitted; constants and inputs are none. */
  nodes: count,
  /** Elements of all constants. */
  parameters: count,
  parameterBytes: count,
  /** Constants, and the most that intermediate results take at once when operators run in the graph's order. */
  peakBytes: count,
  /** Normalizations that compute statistics at inference. */
  normalizations: count,
  /** Null without a plan, or where the plan cannot be read. */
  planBytes: count.nullable(),
  kernels: count.nullable(),
  normalizationKernels: count.nullable(),
  /** What the counts are made of, in order. */
  graph: z.array(NodeSchema).readonly(),
  kernelList: z.array(KernelSchema).readonly(),
}).readonly();
export type Structure = z.infer<typeof StructureSchema>;

/** How far outputs were from what they should be. */
export const AgreementSchema = z.object({
  maxRelError: z.number(),
  against: z.string(),
  /** Null where no training framework's outputs say what is right. */
  agrees: z.boolean().nullable(),
}).readonly();
export type Agreement = z.infer<typeof AgreementSchema>;

/** Times of one thing: raw, never summarized away. */
export const SamplesSchema = z.object({
  /** Calls that ran at the same time. */
  concurrency: count,
  samplesMs: z.array(ms).readonly(),
}).readonly();

/** How the command line named a model and its options, so that it can be built again. */
export const RecipeSchema = z.object({
  /** MODEL; null where a checkpoint of a known layout says which network it is. */
  argument: z.string().nullable(),
  options: z.record(z.string(), z.union([z.string(), z.boolean()])).readonly(),
}).readonly();
export type Recipe = z.infer<typeof RecipeSchema>;

export const StoredModelSchema = z.object({
  model: name,
  family: z.string(),
  precision: z.string(),
  batch: z.string(),
  /** Null where a script gave the model itself. */
  recipe: RecipeSchema.nullable(),
  /** Inputs of the network as it is timed: "images fp32[8, 1, 8, 8]". */
  inputs: z.array(z.string()).readonly(),
  structure: StructureSchema,
  /** Building the plan, several times. */
  buildsMs: z.array(ms).readonly(),
  /** Top-1 on the model's labelled examples; null without. */
  accuracy: z.number().nullable(),
  examples: count,
  agreement: AgreementSchema.nullable(),
  latency: SamplesSchema.nullable(),
  /** The network in fp32, which CPUs run, and the plan; null where it is not kept. */
  onnx: name.nullable(),
  plan: name.nullable(),
}).readonly();
export type StoredModel = z.infer<typeof StoredModelSchema>;

export const BaselineSchema = z.object({
  schema: z.literal(1),
  name,
  /** Differs for each save; names the folder of the files. */
  id: name,
  savedAt: z.iso.datetime(),
  /** Git's; null outside of a repository. */
  commit: z.string().nullable(),
  /** Whether files differed from the commit. */
  dirty: z.boolean(),
  fingerprint: FingerprintSchema,
  models: z.array(StoredModelSchema).min(1).readonly(),
  /** Every file of the baseline but this one. */
  files: z.array(z.object({ name, bytes: count, sha256 }).readonly()).readonly(),
}).readonly();
export type Baseline = z.infer<typeof BaselineSchema>;
