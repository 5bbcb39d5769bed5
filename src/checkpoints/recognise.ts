/**
 * Which published layout a checkpoint is of, and the network in it with its weights. Recognised by names
 * alone; a file that is of none is answered with the layout it comes nearest to. Leaves out what is done with
 * the network.
 */
import { Buffer } from "node:buffer";
import { basename, dirname, join } from "node:path";
import { z } from "npm:zod@4.6.7";
import { systemReason, UnfoldError } from "../errors.ts";
import { listed, quoted } from "../text.ts";
import { sameShape, showShape } from "../ir/shape.ts";
import {
  type Checkpoint,
  checkpointWeights,
  openCheckpoint,
  type OpenOptions,
  type WeightSource,
} from "../weights/mod.ts";
import { pythonJson } from "../weights/json.ts";
import { sharedPrefixes, underNames } from "../weights/naming.ts";
import { EIGHT_BITS } from "../weights/scaled.ts";
import { asConverted, beforeConversion, convertedIn } from "./converted.ts";
import {
  type CheckpointFormat,
  type CheckpointView,
  patternText,
  readAs,
  type Recognised,
} from "./define.ts";
import { FORMATS, NOT_READ } from "./formats.ts";
import { moduleStatements } from "./modules.ts";
import type { RecognisedCheckpoint } from "./recognised.ts";
import type { SettingOptions, Statement } from "./settings.ts";

/**
 * Opens a checkpoint and finds out what network it holds.
 *
 * @throws {UnfoldError} it cannot be opened, is of no known layout, or its sizes do not fit each other
 */
export function recogniseCheckpoint(
  path: string | URL,
  { settings = {}, ...options }: OpenOptions & { readonly settings?: SettingOptions } = {},
): RecognisedCheckpoint {
  const opened = openCheckpoint(path, options);
  const converted = convertedIn(opened);
  const found = layoutOf(beforeConversion(opened, converted));
  if (found === null) throw unknownLayout(opened);
  const { format, prefix } = found;
  const checkpoint = underNames(opened, { prefix });
  const file = viewOf(checkpoint);
  const recognised = asConverted(readAs(format, viewOf(found.checkpoint), settings), converted);
  const buffers = recognised.model.norm.ignoredKeys.map((key) => ({
    pattern: new RegExp(`(^|\\.)${key}$`),
    why: `a buffer of training with ${recognised.model.norm.label}`,
  }));
  const placeOf = (parameter: string) => recognised.locate?.(parameter) ?? parameter;
  const ignorable = [...recognised.ignored, ...buffers];
  const ignored = file.names().flatMap((name) => {
    const match = ignorable.find(({ pattern }) => name.search(pattern) >= 0);
    return match === undefined ? [] : [{ name, why: match.why }];
  });
  return {
    path: checkpoint.path,
    format: format.name,
    stateDict: checkpoint.stateDict,
    prefix,
    model: recognised.model,
    settled: recognised.settled,
    ignored,
    quantized: quantizedIn(checkpoint, new Set(ignored.map(({ name }) => name))),
    placeOf,
    nameOf: (parameter) => {
      const place = placeOf(parameter);
      return typeof place === "string" ? place : null;
    },
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

/** In words that fit behind "in eight bits:". */
function quantizedIn(
  checkpoint: Checkpoint,
  ignored: ReadonlySet<string>,
): RecognisedCheckpoint["quantized"] {
  return checkpoint.names().flatMap((name) => {
    const type = checkpoint.typeOf(name);
    if (!EIGHT_BITS.has(type) || ignored.has(name)) return [];
    const why = checkpoint.isScaled?.(name) ? `${type} times its scale, in fp32` : `${type} without a scale`;
    return [{ name, why }];
  });
}

/** The layout a checkpoint looks like, for messages; null where it is of none or cannot be opened. */
export function looksLike(path: string | URL): string | null {
  try {
    const opened = openCheckpoint(path);
    return layoutOf(beforeConversion(opened, convertedIn(opened)))?.format.name ?? null;
  } catch (error) {
    if (error instanceof UnfoldError) return null;
    throw error;
  }
}

type Names = Pick<CheckpointView, "names">;

const matches = (pattern: RegExp, { names }: Names) => names().some((name) => name.search(pattern) >= 0);

function isOf(
  { signature, without = [] }: Pick<CheckpointFormat, "signature" | "without">,
  file: Names,
): boolean {
  return signature.every((pattern) => matches(pattern, file)) &&
    !without.some((pattern) => matches(pattern, file));
}

function viewOf(checkpoint: Checkpoint): CheckpointView {
  const statements = statementsOf(checkpoint);
  return {
    path: checkpoint.path,
    names: () => checkpoint.names(),
    has: (name) => checkpoint.has(name),
    shapeOf: (name) => checkpoint.shapeOf(name),
    same: (a, b) => {
      const [one, other] = [checkpoint.tensor(a), checkpoint.tensor(b)];
      return one.dtype === other.dtype && sameShape(one.shape, other.shape) &&
        Buffer.compare(one.bytes(), other.bytes()) === 0;
    },
    config: statements.find(({ kind }) => kind !== "unfold")?.values ?? null,
    statements,
  };
}

interface Layout {
  readonly format: CheckpointFormat;
  /** Under the layout's names. */
  readonly checkpoint: Checkpoint;
  /** What was taken off them. */
  readonly prefix: string;
}

/** The layout of the names as they are, else without a prefix that all of them share. */
function layoutOf(opened: Checkpoint): Layout | null {
  for (const prefix of sharedPrefixes(opened.names())) {
    const checkpoint = underNames(opened, { prefix });
    const names = { names: () => checkpoint.names() };
    const format = FORMATS.find((format) => isOf(format, names));
    if (format !== undefined) return { format, checkpoint, prefix };
  }
  return null;
}

const ConfigSchema = z.record(z.string(), z.unknown());

/** Where trainers keep the arguments of the network. */
const ARGUMENTS = ["args", "cfg", "config", "hyper_parameters", "model_args"] as const;

/** `config.json` beside the file, the metadata of `save_for_unfold`, and the arguments in the file. */
function statementsOf({ path, metadata, training }: Checkpoint): Statement[] {
  const beside = join(dirname(path), "config.json");
  let text: string | undefined;
  try {
    text = Deno.readTextFileSync(beside);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) && systemReason(error) === null) throw error;
  }
  const texts = [
    { origin: "config.json", where: beside, text, kind: "configuration" },
    {
      origin: "save_for_unfold's metadata",
      where: `the metadata of ${path}`,
      text: metadata.unfold,
      kind: "unfold",
    },
  ] as const;
  const written = texts.flatMap(({ origin, where, text, kind }) => {
    if (text === undefined) return [];
    try {
      return [{ origin, kind, values: ConfigSchema.parse(pythonJson(text)) }];
    } catch {
      throw new UnfoldError(
        `${where}: this is no JSON object; a configuration is one. Download it again or remove it.`,
      );
    }
  });
  const kept = ARGUMENTS.flatMap((key) => {
    // nanoGPT's `config` is of its trainer, sizes that were not used among it.
    if (key === "config" && training.model_args !== undefined) return [];
    const values = ConfigSchema.safeParse(training[key]).data;
    return values === undefined || Object.keys(values).length === 0
      ? []
      : [{ origin: `the file's own ${key}`, kind: "arguments" as const, values }];
  });
  // A configuration that the file carries goes before one beside it.
  const carried = written.flatMap(({ kind, values }) => {
    const config = kind === "unfold" ? ConfigSchema.safeParse(values.config).data : undefined;
    return config === undefined
      ? []
      : [{ origin: "the model's configuration in the file", kind: "configuration" as const, values: config }];
  });
  return [...carried, ...written, ...kept, ...moduleStatements(training.modules)];
}

/** The first part of the names under which a known layout lies, beside tensors of something else. */
function layoutBelow(file: Checkpoint): Layout | null {
  const parts = new Set(file.names().map((name) => name.slice(0, name.indexOf(".") + 1)).filter(Boolean));
  for (const part of [...parts].slice(0, 16)) {
    const found = layoutOf(underNames(file, { prefix: part }));
    if (found !== null) return { ...found, prefix: part + found.prefix };
  }
  return null;
}

function unknownLayout(file: Checkpoint): UnfoldError {
  const below = layoutBelow(file);
  if (below !== null) {
    return new UnfoldError(
      `${file.path} holds ${below.format.name} under names that begin with ${
        quoted(below.prefix)
      }, and other tensors: ` +
        `give --prefix ${below.prefix}`,
    );
  }
  for (const prefix of sharedPrefixes(file.names())) {
    const other = NOT_READ.find((network) => isOf(network, underNames(file, { prefix })));
    if (other === undefined) continue;
    return new UnfoldError(
      `${file.path} is of ${other.what}, which UNfold does not read: describe the network in a MODEL.ts and give --weights`,
    );
  }
  const scored = FORMATS.map((format) => {
    const missing = format.signature.filter((pattern) => !matches(pattern, file));
    return { format, missing, share: 1 - missing.length / format.signature.length };
  }).sort((a, b) => b.share - a.share);
  const nearest = scored[0];
  const hint = nearest !== undefined && nearest.share > 0
    ? `It comes nearest to ${nearest.format.name}, but has no ${
      nearest.missing[0] === undefined ? "such combination" : patternText(nearest.missing[0])
    }. `
    : "";
  const names = file.names();
  const tensors = names.length === 1 ? "tensor" : "tensors";
  return new UnfoldError(
    `${file.path} has ${names.length} ${tensors} (${
      listed(names, 3)
    }) and is of no layout UNfold knows. ${hint}` +
      "Describe the network in a MODEL.ts and give --weights.",
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
