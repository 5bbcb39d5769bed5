/**
 * What a baseline says of itself, as types and as the zod schema that a stored one must pass: how each model
 * was built, its exact structure, its raw samples, and the machine all of it came from. Times are in
 * milliseconds, sizes in bytes.
 */
import { z } from "npm:zod@4.6.7";
import { COUNTED, countedOf, type Counts } from "../report/metrics.ts";
import { type Fingerprint, FingerprintSchema } from "../report/run_report.ts";

const count: z.ZodType<number> = z.number().int().nonnegative();
const ms: z.ZodType<number> = z.number().nonnegative();
const sha256: z.ZodType<string> = z.string().regex(/^[0-9a-f]{64}$/);

/** Names of baselines, models and files: one path component that means the same everywhere. */
export const NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const name: z.ZodType<string> = z.string().regex(NAME);

/** An operator, by the layer it came from. */
export interface StoredNode {
  readonly name: string;
  readonly op: string;
  readonly shape: string;
}

const StoredNodeSchema: z.ZodType<StoredNode> = z.object({
  name: z.string(),
  op: z.string(),
  shape: z.string(),
});

/** A kernel of the plan, and the layers it works for. */
export interface StoredKernel {
  readonly kind: string;
  readonly name: string;
  readonly layers: readonly string[];
}

const StoredKernelSchema: z.ZodType<StoredKernel> = z.object({
  kind: z.string(),
  name: z.string(),
  layers: z.array(z.string()),
});

/** What a build consists of: figures without noise, the same on any machine. */
export interface Structure extends Counts {
  /** Elements of all constants. */
  readonly parameters: number;
  readonly parameterBytes: number;
  /** Normalizations that compute statistics at inference. */
  readonly normalizations: number;
  /** What the counts are made of, in order. */
  readonly graph: readonly StoredNode[];
  readonly kernelList: readonly StoredKernel[];
  /** Products in fewer bits, and operators in another type than the rest: "fp32 blocks.0.mlp.fc2". */
  readonly quantized: readonly string[];
  readonly kept: readonly string[];
}

const counts = Object.fromEntries(
  COUNTED.map((name) => {
    const { key, ofPlan, isRare } = countedOf(name);
    return [key, isRare ? count.nullable().default(null) : ofPlan ? count.nullable() : count];
  }),
) as { readonly [Key in keyof Counts]: z.ZodType<Counts[Key]> };

export const StructureSchema: z.ZodType<Structure> = z.object({
  ...counts,
  parameters: count,
  parameterBytes: count,
  normalizations: count,
  graph: z.array(StoredNodeSchema).readonly(),
  kernelList: z.array(StoredKernelSchema).readonly(),
  quantized: z.array(z.string()).readonly().default([]),
  kept: z.array(z.string()).readonly().default([]),
});

/** How far outputs were from what they should be. */
export interface Agreement {
  readonly maxRelError: number;
  readonly against: string;
  /** Null where no training framework's outputs say what is right. */
  readonly agrees: boolean | null;
}

const AgreementSchema: z.ZodType<Agreement> = z.object({
  maxRelError: z.number(),
  against: z.string(),
  agrees: z.boolean().nullable(),
});

/** Times of one thing: raw, never summarized away. */
export interface Samples {
  /** Calls that ran at the same time. */
  readonly concurrency: number;
  readonly samplesMs: readonly number[];
}

const SamplesSchema: z.ZodType<Samples> = z.object({
  concurrency: count,
  samplesMs: z.array(ms).readonly(),
});

/** How the command line named a model and its options, so that it can be built again. */
export interface Recipe {
  /** MODEL; null where a checkpoint of a known layout says which network it is. */
  readonly argument: string | null;
  /** Its options by name. */
  readonly options: Readonly<Record<string, string | boolean | readonly string[]>>;
}

const RecipeSchema: z.ZodType<Recipe> = z.object({
  argument: z.string().nullable(),
  options: z.record(z.string(), z.union([z.string(), z.boolean(), z.array(z.string())])).readonly(),
});

export interface StoredModel {
  readonly model: string;
  readonly family: string;
  readonly precision: string;
  readonly batch: string;
  /** Null where a script gave the model itself. */
  readonly recipe: Recipe | null;
  /** Inputs of the network as it is timed: "images fp32[8, 1, 8, 8]". */
  readonly inputs: readonly string[];
  readonly structure: Structure;
  /** Building the plan, several times. */
  readonly buildsMs: readonly number[];
  /** Top-1 on the model's labelled examples; null without. */
  readonly accuracy: number | null;
  readonly examples: number;
  readonly agreement: Agreement | null;
  /** How far quantizing moves outputs, emulated on a CPU; null where nothing is quantized or was compared. */
  readonly quantizationError: number | null;
  readonly latency: Samples | null;
  /** The network in fp32, which CPUs run, and the plan; null where it is not kept. */
  readonly onnx: string | null;
  readonly plan: string | null;
}

const StoredModelSchema: z.ZodType<StoredModel> = z.object({
  model: name,
  family: z.string(),
  precision: z.string(),
  batch: z.string(),
  recipe: RecipeSchema.nullable(),
  inputs: z.array(z.string()).readonly(),
  structure: StructureSchema,
  buildsMs: z.array(ms).readonly(),
  accuracy: z.number().nullable(),
  examples: count,
  agreement: AgreementSchema.nullable(),
  quantizationError: z.number().nullable().default(null),
  latency: SamplesSchema.nullable(),
  onnx: name.nullable(),
  plan: name.nullable(),
});

/** A baseline that was saved: where it comes from, and its files. */
export interface Baseline {
  /** The version of its format. */
  readonly schema: 1;
  /** Its name, which `regress` takes. */
  readonly name: string;
  /** Differs for each save; names the folder of the files. */
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly savedAt: string;
  /** Git's; null outside of a repository. */
  readonly commit: string | null;
  /** Whether files differed from the commit. */
  readonly dirty: boolean;
  /** The machine it was saved on. */
  readonly fingerprint: Fingerprint;
  /**
   * What `regress` compares with.
   *
   * @internal
   */
  readonly models: readonly StoredModel[];
  /** Every file of the baseline but this one. */
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
}

export const BaselineSchema: z.ZodType<Baseline> = z.object({
  schema: z.literal(1),
  name,
  id: name,
  savedAt: z.iso.datetime(),
  commit: z.string().nullable(),
  dirty: z.boolean(),
  fingerprint: FingerprintSchema,
  models: z.array(StoredModelSchema).min(1).readonly(),
  files: z.array(z.object({ name, bytes: count, sha256 }).readonly()).readonly(),
});
