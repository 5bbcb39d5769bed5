/** From a model to its networks: each normalization's weights, and the graphs before and after the passes. */
import config from "../../deno.json" with { type: "json" };
import { looksLike } from "../checkpoints/recognise.ts";
import type { RecognisedCheckpoint } from "../checkpoints/recognised.ts";
import type { Model, TraceOptions } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import type { TensorData } from "../ir/data.ts";
import type { EngineQuantization, Precision } from "../ir/dtype.ts";
import type { OnnxWords } from "../emit/onnx.ts";
import type { Graph } from "../ir/graph.ts";
import { openWeights } from "../import/weights.ts";
import { haveSameKeys, otherNorm } from "../norms/keys.ts";
import { type Norm, NORMS } from "../norms/families.ts";
import type { NormFold } from "../rewrite/fold/fold_norm.ts";
import type { KeptScopes } from "../rewrite/precision/keep.ts";
import { optimize, type OptimizeOptions, type PassTrace, remainingNorms } from "../rewrite/pipeline.ts";
import { quoted } from "../text.ts";
import {
  checkpointWeights,
  type OpenOptions,
  randomWeights,
  type StateDictChoice,
  type WeightSource,
} from "../weights/mod.ts";

/** What `compile` takes besides a model: what `Model.trace` does, and what optimization does. */
export interface CompileOptions extends OptimizeOptions, TraceOptions {}

/** A network on its way from the description to what is emitted. */
export interface Network {
  /** As it was described. */
  readonly traced: Graph;
  /** With its normalizations folded, its products still under their own names. */
  readonly folded: Graph;
  /** As it is emitted. */
  readonly graph: Graph;
  /** Where each normalization went, or why it stays. */
  readonly norms: readonly NormFold[];
  /** What of a network of fp16 or bf16 is in another type. */
  readonly kept: readonly KeptScopes[];
  /** What each pass did. */
  readonly trace: readonly PassTrace[];
}

/**
 * Traces a model and optimizes the graph: normalizations folded, products merged, constants computed, and,
 * in fp16 and bf16, what the model or `keep` says cast to another type.
 *
 * @throws {UnfoldError} shapes or weights that do not fit the description, a `keep` that names nothing
 */
export function compile(model: Model, options: CompileOptions): Network {
  const traced = model.trace(options);
  const keep = [...model.keep ?? [], ...options.keep ?? []];
  return { traced, ...optimize(traced, { ...options, keep }) };
}

/**
 * What an ONNX file says of the network in it, and of who wrote it, under `metadata_props`; beside what the
 * file said that the network came from, whose names open sizes keep.
 */
export function aboutNetwork(
  { model: { fixedDims, origin }, norm, network: { norms, graph }, precision }: {
    readonly model: Pick<Model, "fixedDims" | "origin">;
    readonly norm: Norm;
    readonly network: Network;
    readonly precision: Precision | EngineQuantization;
  },
): OnnxWords {
  const dims = Object.entries(fixedDims).map(([name, size]) => `${name}=${size}`);
  const metadata = {
    ...origin?.metadata,
    ...(dims.length > 0 && { "unfold.dims": dims.join(",") }),
    "unfold.version": config.version,
    "unfold.precision": precision,
    "unfold.normalization": norm.label,
    "unfold.normalizations_folded": String(norms.filter(({ folded }) => folded).length),
    "unfold.normalizations_remaining": String(remainingNorms(graph)),
  };
  return { metadata, said: origin?.said, sizes: origin?.sizes };
}

/** A network's weights, opened anew for each trace, so that each trace accounts for all of them. */
export interface WeightChoice {
  readonly origin: string;
  /** Whether the values were trained with this normalization, so that accuracy means something. */
  readonly trained: boolean;
  /** Which of a file's state dicts they are; null where there is but one, or no file. */
  readonly stateDict: StateDictChoice | null;
  open(): WeightSource;
}

/** Which weights a model gets in place of its own. */
export interface WeightOptions {
  /** A checkpoint in place of the model's own, whose names are those of the model's scopes. */
  readonly checkpoint?: string | undefined;
  /** How `checkpoint` is opened: which of its state dicts, and under which names. */
  readonly opening?: OpenOptions | undefined;
  /** A checkpoint of a known layout, which the model came from. */
  readonly recognised?: RecognisedCheckpoint | undefined;
  /** Accept NaN and infinity. */
  readonly allowNonFinite?: boolean | undefined;
}

const RANDOM_SEED = 0;

/**
 * The weights of a model with normalization `norm`: the given checkpoint, which must fit, else the model's
 * own for that normalization, else, for timing only, those it has for another one and random ones. The
 * reference (`isReference`) does not claim the given checkpoint, which was trained with the other
 * normalization; nor does a normalization that the layout of a known checkpoint was not trained with.
 */
export function chooseWeights(
  model: Model,
  norm: Norm,
  options: WeightOptions & { readonly isReference?: boolean },
): WeightChoice {
  const { recognised, isReference = false } = options;
  const trained = model.weights?.[norm.family];
  if (isReference && recognised?.reference !== undefined) {
    return fromRecognised(recognised.reference, options);
  }
  if (recognised !== undefined && haveSameKeys(norm.family, model.norm.family)) {
    return fromRecognised(recognised, options);
  }
  const fitting = isReference ? trained : options.checkpoint ?? trained;
  if (fitting !== undefined) return fromCheckpoint(model, norm, { ...options, path: fitting });
  const random = randomWeights({ seed: RANDOM_SEED });
  const other = otherWeights(model, norm, options);
  if (other === null) return { origin: random.origin, trained: false, stateDict: null, open: () => random };
  return {
    ...other,
    origin: `${other.origin} where it fits, else ${random.origin}`,
    trained: false,
    open: () => whereFitting(other.open(), random),
  };
}

/** What there is that was trained with another normalization. */
function otherWeights(model: Model, norm: Norm, options: WeightOptions): WeightChoice | null {
  if (options.recognised !== undefined) return fromRecognised(options.recognised, options);
  const path = options.checkpoint ?? model.weights?.[model.norm.family];
  return path === undefined ? null : fromCheckpoint(model, norm, { ...options, path });
}

function fromRecognised(recognised: RecognisedCheckpoint, { allowNonFinite }: WeightOptions): WeightChoice {
  const { path, stateDict } = recognised;
  return { origin: path, trained: true, stateDict, open: () => recognised.open({ allowNonFinite }) };
}

/** For timing only: the checkpoint's values where it has that shape, random ones elsewhere. */
function whereFitting(weights: WeightSource, random: WeightSource): WeightSource {
  return { ...answering(weights, (_, wanted) => random.take(...wanted)), unused: () => [] };
}

/** The same source, but for tensors that it does not have as wanted: those are up to `answer`. */
function answering(
  weights: WeightSource,
  answer: (error: UnfoldError, wanted: Parameters<WeightSource["take"]>) => TensorData,
): WeightSource {
  return {
    origin: weights.origin,
    take: (...wanted) => {
      try {
        return weights.take(...wanted);
      } catch (error) {
        if (error instanceof UnfoldError) return answer(error, wanted);
        throw error;
      }
    },
    unused: () => weights.unused(),
  };
}

function fromCheckpoint(
  model: Model,
  norm: Norm,
  { path, allowNonFinite, ...options }: WeightOptions & { path: string | URL },
): WeightChoice {
  const opening = path === options.checkpoint ? options.opening ?? {} : {};
  const checkpoint = openWeights(path, opening);
  const ignore = [...norm.ignoredKeys.map((key) => new RegExp(`(^|\\.)${key}$`)), ...model.unused ?? []];
  /** That a tensor's scope looks like another normalization, in a sentence; null where it does not. */
  const otherwise = (tensor: string): string | null => {
    const shapeOf = (name: string) => checkpoint.has(name) ? checkpoint.shapeOf(name) : undefined;
    const found = otherNorm(tensor, { wanted: norm.family, shapeOf }) ??
      otherNorm(`module.${tensor}`, { wanted: norm.family, shapeOf });
    return found &&
      `${quoted(found.scope)} in it looks like --norm ${found.family} (${
          NORMS[found.family]().label
        }), not ` +
        `${norm.family}: read the file with that, or give one that was trained with ${norm.label}.`;
  };
  const named = (weights: WeightSource): WeightSource => ({
    ...answering(weights, (error, [name]) => {
      const other = otherwise(model.rename?.(name) ?? name);
      throw other === null ? error : new UnfoldError(`${error.message} ${other}`);
    }),
    explain: (unused) => unused.map(otherwise).find((other) => other !== null) ?? null,
  });
  const open = () =>
    checkpointWeights(checkpoint, {
      ignore,
      ...(model.rename && { rename: model.rename }),
      ...(allowNonFinite && { allowNonFinite }),
    });
  const { path: origin, stateDict } = checkpoint;
  return { origin, trained: true, stateDict, open: () => named(explained(open(), path)) };
}

/** The same source, saying of a file that does not fit what it looks like instead. */
function explained(weights: WeightSource, path: string | URL): WeightSource {
  return answering(weights, (error) => {
    const format = looksLike(path);
    if (format === null) throw error;
    throw new UnfoldError(
      `${error.message} The file looks like ${format}: leave out MODEL and give it as --checkpoint.`,
    );
  });
}

/** Whether a value is a model, as the default export of a `MODEL.ts` must be. */
export function isModel(value: unknown): value is Model {
  return typeof value === "object" && value !== null &&
    typeof (value as Partial<Model>).trace === "function" &&
    typeof (value as Partial<Model>).name === "string";
}
