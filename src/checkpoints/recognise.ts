/**
 * Which published layout a checkpoint is of, and the network in it with its weights. Recognised by names alone; a file
 * that is of none is answered with the layout it comes nearest to. Leaves out what is done with the network.
 */
import { basename, dirname, join } from "node:path";
import { z } from "npm:zod@4.6.7";
import type { Model } from "../dsl/model.ts";
import { systemReason, UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import { sameShape, showShape } from "../ir/shape.ts";
import { type Checkpoint, checkpointWeights, openCheckpoint, type WeightSource } from "../weights/mod.ts";
import { pythonJson } from "../weights/json.ts";
import {
  type CheckpointFormat,
  type CheckpointView,
  patternText,
  type ReadOptions,
  type Recognised,
} from "./define.ts";
import { FORMATS } from "./mod.ts";

/** A checkpoint whose layout is known. */
export interface RecognisedCheckpoint {
  readonly path: string;
  /** The layout's name: "timm Swin Transformer". */
  readonly format: string;
  readonly model: Model;
  /** Tensors that inference does not need, and why. */
  readonly ignored: readonly { readonly name: string; readonly why: string }[];
  /** The weights under the model's own names; opened anew for every trace. */
  open(options?: { allowNonFinite?: boolean | undefined }): WeightSource;
}

/**
 * Opens a checkpoint and finds out what network it holds.
 *
 * @throws {UnfoldError} it cannot be opened, is of no known layout, or its sizes do not fit each other
 */
export function recogniseCheckpoint(path: string | URL, options: ReadOptions = {}): RecognisedCheckpoint {
  const checkpoint = openCheckpoint(path);
  const file = viewOf(checkpoint);
  const format = FORMATS.find((format) => isOf(format, file));
  if (format === undefined) throw unknownLayout(file);
  for (const option of ["heads", "mode"] as const) {
    if (options[option] === undefined || format.takes.includes(option)) continue;
    throw new UnfoldError(
      `--${option}: ${file.path} is of the layout ${format.name}, which ${SURPLUS[option]}; leave it out`,
    );
  }
  const recognised = format.read(file, options);
  const buffers = recognised.model.norm.ignoredKeys.map((key) => ({
    pattern: new RegExp(`(^|\\.)${key}$`),
    why: `a buffer of training with ${recognised.model.norm.label}`,
  }));
  const ignorable = [...recognised.ignored, ...buffers];
  const ignored = file.names().flatMap((name) => {
    const match = ignorable.find(({ pattern }) => name.search(pattern) >= 0);
    return match === undefined ? [] : [{ name, why: match.why }];
  });
  return {
    path: checkpoint.path,
    format: format.name,
    model: recognised.model,
    ignored,
    open: ({ allowNonFinite } = {}) =>
      locatedWeights(recognised, {
        file,
        weights: checkpointWeights(checkpoint, {
          ignore: ignorable.map(({ pattern }) => pattern),
          ...(allowNonFinite && { allowNonFinite }),
        }),
      }),
  };
}

/** Why a layout has no use for an option. */
const SURPLUS = { heads: "tells its heads itself", mode: "has one network" } as const;

/** The layout a checkpoint looks like, for messages; null where it is of none or cannot be opened. */
export function looksLike(path: string | URL): string | null {
  try {
    const file = viewOf(openCheckpoint(path));
    return FORMATS.find((format) => isOf(format, file))?.name ?? null;
  } catch (error) {
    if (error instanceof UnfoldError) return null;
    throw error;
  }
}

const matches = (pattern: RegExp, { names }: CheckpointView) =>
  names().some((name) => name.search(pattern) >= 0);

function isOf({ signature, without = [] }: CheckpointFormat, file: CheckpointView): boolean {
  return signature.every((pattern) => matches(pattern, file)) &&
    !without.some((pattern) => matches(pattern, file));
}

/** What `DataParallel` puts before every name. */
const DATA_PARALLEL = "module.";

function viewOf(checkpoint: Checkpoint): CheckpointView {
  const stored = checkpoint.names();
  const prefix = stored.length > 0 && stored.every((name) => name.startsWith(DATA_PARALLEL))
    ? DATA_PARALLEL
    : "";
  const names = stored.map((name) => name.slice(prefix.length));
  const known = new Set(names);
  return {
    path: checkpoint.path,
    names: () => names,
    has: (name) => known.has(name),
    shapeOf: (name) => checkpoint.shapeOf(prefix + name),
    config: configOf(checkpoint),
  };
}

const ConfigSchema = z.record(z.string(), z.unknown());

/** Where trainers keep the arguments of the network. */
const ARGUMENTS = ["args", "cfg", "config", "hyper_parameters", "model_args"] as const;

/** `config.json` beside the file, else the arguments that the file itself carries. */
function configOf({ path, training }: Checkpoint): Readonly<Record<string, unknown>> | null {
  const beside = join(dirname(path), "config.json");
  let text: string | undefined;
  try {
    text = Deno.readTextFileSync(beside);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) && systemReason(error) === null) throw error;
  }
  if (text === undefined) {
    const said = ARGUMENTS.map((key) => ConfigSchema.safeParse(training[key]).data);
    return said.find((members) => members !== undefined && Object.keys(members).length > 0) ?? null;
  }
  try {
    return ConfigSchema.parse(pythonJson(text));
  } catch {
    throw new UnfoldError(
      `${beside}: this is no JSON object; a configuration is one. Download it again or remove it.`,
    );
  }
}

function unknownLayout(file: CheckpointView): UnfoldError {
  const scored = FORMATS.map((format) => {
    const missing = format.signature.filter((pattern) => !matches(pattern, file));
    return { format, missing, share: 1 - missing.length / format.signature.length };
  }).sort((a, b) => b.share - a.share);
  const nearest = scored[0];
  const begins = file.names().slice(0, 3).join(", ");
  const hint = nearest !== undefined && nearest.share > 0
    ? ` It comes nearest to ${nearest.format.name}, but has no ${
      nearest.missing[0] === undefined ? "such combination" : patternText(nearest.missing[0])
    }.`
    : "";
  return new UnfoldError(
    `${file.path} has ${file.names().length} tensors (${begins}, ...) and is of no layout UNfold knows: ` +
      `${
        FORMATS.map(({ name }) => name).join(", ")
      }.${hint} Describe the network in a MODEL.ts and give --weights.`,
  );
}

/** Parameters from where the layout has them. */
function locatedWeights(
  { locate = (parameter) => parameter, model }: Recognised,
  { file, weights }: { file: CheckpointView; weights: WeightSource },
): WeightSource {
  return {
    origin: weights.origin,
    take: (name, shape, hint) => {
      const place = locate(name);
      if (typeof place === "string") return weights.take(place, shape, hint);
      const parts = place.from.map((part) => {
        if (!file.has(part)) {
          throw new UnfoldError(
            `${basename(file.path)} has no tensor ${
              JSON.stringify(part)
            }, of which ${model.name}'s ${name} is made. ` +
              "The file is incomplete or of another architecture.",
          );
        }
        return weights.take(part, file.shapeOf(part), hint);
      });
      const data = place.make(parts);
      if (sameShape(data.shape, shape)) return data;
      throw new UnfoldError(
        `${data.origin} gives ${showShape(data.shape)}, but parameter ${quoted(name)} of ${model.name} has ` +
          `${showShape(shape)}. Check the sizes in the configuration against the file.`,
      );
    },
    unused: () => weights.unused(),
  };
}
