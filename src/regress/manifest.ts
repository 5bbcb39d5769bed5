/**
 * What a baseline says of itself, as the zod schema that a stored one must pass: how each model was built,
 * its exact structure, its raw samples, and the machine all of it came from. Times are in milliseconds, sizes
 * in bytes. What `mod.ts` exports has an interface besides, which `deno doc` shows.
 */
import { z } from "npm:zod@4.6.7";
import { COUNTED, type Counts, rowOf } from "../report/metrics.ts";
import { type Fingerprint, FingerprintSchema } from "../report/run_report.ts";

const count: z.ZodType<number> = z.number().int().nonnegative();
const ms: z.ZodType<number> = z.number().nonnegative();
const sha256: z.ZodType<string> = z.string().regex(/^[0-9a-f]{64}$/);

/** Names of baselines, models and files: one path component that means the same everywhere. */
export const NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const name: z.ZodType<string> = z.string().regex(NAME);

/** An operator, by the layer it came from. */
const StoredNodeSchema = z.object({ name: z.string(), op: z.string(), shape: z.string() });
export type StoredNode = z.infer<typeof StoredNodeSchema>;

/** A kernel of the plan, and the layers it works for. */
const StoredKernelSchema = z.object({
  kind: z.string(),
  name: z.string(),
  layers: z.array(z.string()).readonly(),
});
export type StoredKernel = z.infer<typeof StoredKernelSchema>;

const counts = Object.fromEntries(
  COUNTED.map((name) => {
    const { key, ofPlan } = rowOf(name).counted;
    return [key, ofPlan ? count.nullable() : count];
  }),
) as { readonly [Key in keyof Counts]: z.ZodType<Counts[Key]> };

/** What a build consists of: figures without noise, the same on any machine. */
export const StructureSchema = z.object({
  ...counts,
  /** Elements of all constants. */
  parameters: count,
  parameterBytes: count,
  /** Normalizations that compute statistics at inference. */
  normalizations: count,
  /** What the counts are made of, in order. */
  graph: z.array(StoredNodeSchema).readonly(),
  kernelList: z.array(StoredKernelSchema).readonly(),
});
export type Structure = z.infer<typeof StructureSchema>;

/** How far outputs were from what they should be. */
const AgreementSchema = z.object({
  maxRelError: z.number(),
  against: z.string(),
  /** Null where no training framework's outputs say what is right. */
  agrees: z.boolean().nullable(),
});
export type Agreement = z.infer<typeof AgreementSchema>;

/** Times of one thing: raw, never summarized away. */
const SamplesSchema = z.object({
  /** Calls that ran at the same time. */
  concurrency: count,
  samplesMs: z.array(ms).readonly(),
});
export type Samples = z.infer<typeof SamplesSchema>;

/** How the command line named a model and its options, so that it can be built again. */
export interface Recipe {
  /** MODEL; null where a checkpoint of a known layout says which network it is. */
  readonly argument: string | null;
  /** Its options by name. */
  readonly options: Readonly<Record<string, string | boolean | readonly string[]>>;
}

export const RecipeSchema: z.ZodType<Recipe> = z.object({
  argument: z.string().nullable(),
  options: z.record(z.string(), z.union([z.string(), z.boolean(), z.array(z.string())])).readonly(),
});

const StoredModelSchema = z.object({
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
});
export type StoredModel = z.infer<typeof StoredModelSchema>;

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
