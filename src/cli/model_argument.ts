/**
 * What a command is to work on: a script that exports a model, a network of the papers by name, or the
 * network in a checkpoint of a known layout. Shared by the commands that take MODEL.
 */
import { relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { RecognisedCheckpoint } from "../checkpoints/recognised.ts";
import { optionOf, SHORT } from "../checkpoints/settings.ts";
import type { Subject } from "../compile/order.ts";
import type { Model } from "../dsl/model.ts";
import { isRefusal, UnfoldError } from "../errors.ts";
import { NORM_FAMILIES, type NormFamily, NORMS } from "../norms/families.ts";
import { wrapped } from "../report/table.ts";
import { LAYER_NORM_FORMS } from "../rewrite/fold/recentre.ts";
import type { OpenOptions } from "../weights/mod.ts";
import { nearestNames } from "../weights/names.ts";
import { fixingDims } from "./subject/dims.ts";
import { importedOf, isOnnxFile, requireOwnWeights } from "./subject/imported.ts";
import { convertedOf, withoutLogits } from "./subject/converted.ts";
import { keeping } from "./subject/keep.ts";
import { oneOf, type ValuesOf } from "./options.ts";
import { endedBySystem, UsageError } from "./terminal.ts";

const EXAMPLE = new URL("../../examples/digits/digits.ts", import.meta.url);

/** The options that say what to work on, for `parseOptions`. */
export const SUBJECT_OPTIONS = {
  weights: { type: "string", file: "read" },
  "weights-in-file": { type: "boolean", default: false },
  checkpoint: { type: "string", file: "read" },
  state: { type: "string" },
  prefix: { type: "string" },
  rename: { type: "string", multiple: true },
  heads: { type: "string" },
  activation: { type: "string" },
  epsilon: { type: "string" },
  pool: { type: "string" },
  "image-size": { type: "string" },
  mode: { type: "string" },
  set: { type: "string", multiple: true },
  dim: { type: "string", multiple: true },
  norm: { type: "string" },
  expect: { type: "string", file: "read" },
  keep: { type: "string", multiple: true },
  "layer-norm": { type: "string", default: "layer" },
  "allow-nonfinite": { type: "boolean", default: false },
} as const;

/** What they mean, for `--help`. */
export const SUBJECT_HELP =
  `  --checkpoint FILE     a checkpoint of a known layout, in place of MODEL: the network, its sizes and its normalization
                        are read from it (deno task models --layouts lists them)
  --state WORD          which of a training checkpoint's state dicts: ema, model, teacher, student, or its keys
  --prefix TEXT         only tensors whose names begin so, without it: backbone.
  --rename A=B          B in place of A in the names, as whole components; may be given again: --rename encoder.=
  --heads N             attention heads, where neither the file nor a config.json beside it says; as these:
  --activation WORD     in the MLP: gelu, gelu_tanh, quick_gelu, relu or silu
  --epsilon N           added to the variance by the normalization
  --pool WORD           what a ViT's head reads: token or avg
  --image-size N        a side or HEIGHTxWIDTH in pixels
  --mode WORD           which network, where a layout has several: plain (default), prefill or step of GPT-2
  --set NAME=VALUE      these and every other setting of a layout (deno task models --layouts lists them); repeatable
  --dim NAME=N          fixes an open size of MODEL, as T=128 of gpt2, where an engine may need fewer kernels; or, as
                        T=1:128:512, its least, usual and largest size in an engine. Repeatable (B is the batch, which
                        --batch fixes too)
  --weights FILE        weights under the names of MODEL's scopes, in place of the model's own: safetensors or PyTorch's
                        .pt, .pth, .bin (no code of it is run), a folder with either, a *.index.json, or an ONNX file
  --weights-in-file     those that MODEL.onnx has in it, as it is read unless --weights is given; said for scripts
  --norm FAMILY         one of these in place of the model's own (deno task models --help says what they are):
${wrapped(NORM_FAMILIES.join(", "), { indent: 24 }).join("\n")}
  --expect FILE         inputs and the trained network's own outputs for them, under the names of the model's (safetensors
                        or PyTorch's): the network is run on them and compared. Files of save_for_unfold have theirs
  --keep TYPE SCOPES    below fp32: what is computed in another type, as fp32 'blocks.*.mlp.fc2', or fp32 with a
                        group: stream (the residual stream's sums, and normalizations that read it), softmax,
                        statistics (normalizations that are not folded). Repeatable, the last that names a layer counts:
                        --keep fp32 '*' --keep fp16 head. A * is any characters; deno task audit --ranges proposes some
  --layer-norm FORM     the form Layer Normalization is compiled in, where that is exact: layer (default), rms (RMSNorm of
                        a centred residual stream) or crms (one channel less)
  --allow-nonfinite     accept NaN and infinity in the weights`;

/** What of a subject the arguments name. */
type NamedSubject = Pick<Subject, "model" | "norm" | "layerNorm" | "weights">;

/** What the parser gives for them, and the batch size and precision of commands that have one. */
export type SubjectValues = ValuesOf<typeof SUBJECT_OPTIONS> & {
  readonly batch?: string | undefined;
  readonly precision?: string | undefined;
  readonly reference?: string | undefined;
  readonly "keep-going"?: boolean | undefined;
};

/** The model, normalization and weights that the arguments name. Paths are read from the working folder. */
export async function subjectOf(
  argument: string | undefined,
  values: SubjectValues,
): Promise<NamedSubject> {
  const family = values.norm === undefined ? undefined : oneOf("norm", values.norm, NORM_FAMILIES);
  const opening = openingOf(values);
  const recognised = await recognisedOf(argument, values, opening);
  if (values["weights-in-file"]) requireOwnWeights(values, recognised);
  const { keep, precision } = values;
  const described = keeping(
    await fixingDims(recognised?.model ?? await modelOf(argument), values),
    { keep, precision },
  );
  const ofFamily = (family: NormFamily) =>
    [described.norm, described.reference].find((norm) => norm.family === family) ?? NORMS[family]();
  const converted = await convertedOf(values, opening);
  const isConverted = converted !== null && (family ?? converted.family) === converted.family;
  const { convertedNorm } = await import("../checkpoints/converted.ts");
  const norm = isConverted
    ? convertedNorm(ofFamily(converted.from), converted)
    : ofFamily(family ?? described.norm.family);
  const layerNorm = oneOf("layer-norm", values["layer-norm"], LAYER_NORM_FORMS);
  const weights = {
    allowNonFinite: values["allow-nonfinite"],
    opening,
    checkpoint: values.weights,
    recognised: values.weights === undefined ? recognised ?? undefined : undefined,
  };
  const own = isConverted ? withoutLogits(described, norm.family) : described;
  const model = await expectingOf(own, { norm, weights, values });
  return { model, norm, layerNorm, weights };
}

/** The model with PyTorch's own outputs: of `--expect`, else those that lie beside the weights. */
async function expectingOf(
  model: Model,
  { norm, weights, values: { expect, checkpoint } }: Pick<NamedSubject, "norm" | "weights"> & {
    readonly values: { readonly expect?: string | undefined; readonly checkpoint?: string | undefined };
  },
): Promise<Model> {
  const { expecting, expectingRecorded } = await import("../compile/expected.ts");
  const { chooseWeights } = await import("../compile/networks.ts");
  if (expect !== undefined) {
    if (chooseWeights(model, norm, weights).trained) return expecting(model, expect, norm);
    throw new UsageError(
      `--expect: there are no weights of ${model.name} that were trained with ${norm.label}, so its outputs mean nothing; ` +
        "give --weights or --checkpoint",
    );
  }
  const path = checkpoint ?? weights.checkpoint;
  return path === undefined || model.evaluation !== undefined
    ? model
    : expectingRecorded(model, path, { norm, opening: weights.opening ?? {} });
}

/** Which state dict of a file, and under which names. */
function openingOf({ state, prefix, rename = [], checkpoint, weights }: SubjectValues): OpenOptions {
  const given = Object.entries({ state, prefix, rename: rename[0] }).find(([, value]) => value !== undefined);
  if (given !== undefined && checkpoint === undefined && weights === undefined) {
    throw new UsageError(`--${given[0]}: this is for --checkpoint or --weights`);
  }
  const renamings = rename.map((text) => {
    const [, from, to] = /^([^=]+)=([^=]*)$/.exec(text) ?? [];
    if (from === undefined || to === undefined || /^\.*$/.test(from)) {
      throw new UsageError(`--rename ${text}: give A=B, as encoder.blocks=blocks`);
    }
    return [from, to] as const;
  });
  return { state, prefix, rename: renamings };
}

async function recognisedOf(
  argument: string | undefined,
  values: SubjectValues,
  opening: OpenOptions,
): Promise<RecognisedCheckpoint | null> {
  const { checkpoint, weights } = values;
  const settings = settingsIn(values);
  if (checkpoint === undefined) {
    const [name] = Object.keys(settings);
    if (name !== undefined) {
      throw new UsageError(`${optionOf(name)}: this is for --checkpoint; a MODEL says its own`);
    }
    return await importedOf(argument, values);
  }
  if (argument !== undefined) {
    throw new UsageError(
      `--checkpoint says which network it is: leave out ${argument}, or give the file as --weights if ${argument} ` +
        "describes it",
    );
  }
  if (weights !== undefined) throw new UsageError("--checkpoint and --weights: give one of them");
  if (isOnnxFile(checkpoint)) {
    throw new UsageError(`--checkpoint ${checkpoint}: an ONNX file is a MODEL; leave out --checkpoint`);
  }
  const { recogniseCheckpoint } = await import("../checkpoints/recognise.ts");
  return recogniseCheckpoint(checkpoint, { ...opening, settings });
}

/** Settings of the layout, from the options for the usual ones and from `--set`. */
function settingsIn(values: SubjectValues): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const name of SHORT) {
    const value = values[name as keyof SubjectValues];
    if (typeof value === "string") settings[name] = value;
  }
  for (const text of (values.set ?? []).flatMap((text) => text.split(","))) {
    const [name, value, ...more] = text.split("=").map((part) => part.trim());
    if (!name || !value || more.length > 0) {
      throw new UsageError(`--set ${text}: give NAME=VALUE, as in --set heads=6`);
    }
    if (Object.hasOwn(settings, name)) throw new UsageError(`--set ${text}: ${name} is given twice`);
    settings[name] = value;
  }
  return settings;
}

/** A name that no network of the papers has. */
export function unknownNetwork(name: string, known: readonly string[]): UsageError {
  const near = nearestNames(name, known);
  return new UsageError(
    `there is no network called ${name}${near.length > 0 ? `; did you mean ${near.join(" or ")}?` : ""} ` +
      "(deno task models lists them; a script is given by its path, as my_model.ts)",
  );
}

/** A network of the papers by its name, or the model that a script exports. */
async function modelOf(argument: string | undefined): Promise<Model> {
  const { MODELS } = await import("../models/table.ts");
  if (argument !== undefined && Object.hasOwn(MODELS, argument)) return MODELS[argument]!.build();
  if (argument !== undefined && !/[./\\]/.test(argument)) {
    throw unknownNetwork(argument, Object.keys(MODELS));
  }
  return await importModel(argument);
}

/** Only these are programs to whoever gives them; nothing else is run, whatever is in it. */
const SCRIPT = /\.(?:[mc]?[jt]s|[jt]sx)$/i;

/** How a file is given that is no script, by its ending. */
const OTHER_FILES: readonly (readonly [RegExp, (path: string) => string])[] = [
  [
    /\.(?:safetensors|pth?|bin|ckpt|tar|npz|index\.json|wheel)$/i,
    (path) =>
      `a checkpoint of a known layout is given as --checkpoint ${path}, one of your own network as my_model.ts ` +
      `--weights ${path}`,
  ],
  [/\.(?:plan|engine|trt)$/i, (path) => `an engine is looked at with \`deno task inspect ${path}\``],
  [/\.json$/i, (path) => `a build's report is shown with \`deno task report ${path}\``],
];

/** @throws {UsageError} a file that is no script: it is not run, and the error says what to do with it */
function refuseOtherThanScript(path: string): void {
  if (SCRIPT.test(path)) return;
  const how = OTHER_FILES.find(([ending]) => ending.test(path))?.[1](path) ??
    "give a script (.ts, .js, .mts, .mjs, .tsx) whose default export is a model";
  throw new UsageError(`${path} is no script: ${how}`);
}

/** The model that a script exports; whatever goes wrong in it is told as the script's own words. */
async function importModel(path: string | undefined): Promise<Model> {
  const url = path === undefined ? EXAMPLE : pathToFileURL(resolve(path));
  const shown = path ?? relative(Deno.cwd(), fileURLToPath(EXAMPLE));
  try {
    const info = await Deno.stat(url);
    if (!info.isFile) {
      throw new UsageError(
        `${shown} is no file; give a script whose default export is a model, or a checkpoint's folder as --checkpoint ${shown}`,
      );
    }
    if (path !== undefined) refuseOtherThanScript(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError(`there is no file ${shown}; give a script whose default export is a model`);
  }
  const { isModel } = await import("../compile/networks.ts");
  const { thrown } = await import("../ir/given.ts");
  const { randomWeights } = await import("../weights/mod.ts");
  return await endedBySystem(async () => {
    let module: { default?: unknown };
    try {
      module = await withinReason(import(url.href));
    } catch (error) {
      if (isRefusal(error)) throw new UnfoldError(`${shown}: ${error.message}`);
      throw new UnfoldError(`${shown} cannot be loaded: ${thrown(error)}${placeIn(error, url)}`);
    }
    if (!isModel(module.default)) {
      throw new UnfoldError(
        `${shown} does not export a model by default: end it with \`export default model({ ... })\``,
      );
    }
    // Once, and quickly, as no matrix is made: Ctrl-C ends a forward without end here.
    module.default.trace({ weights: randomWeights({ seed: 0 }) });
    return module.default;
  });
}

/** How long a script may wait for something, in seconds; what it computes is not counted. */
const PATIENCE_S = 60;

/** The module, or a refusal where it waits for what never comes. */
async function withinReason<Value>(loading: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const never = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new UnfoldError(`it still awaits something after ${PATIENCE_S} seconds`)),
      1000 * PATIENCE_S,
    );
  });
  // The timer also keeps Deno from ending such a script with words about a file of UNfold's.
  return await Promise.race([loading, never]).finally(() => clearTimeout(timer));
}

/** " (line 12)" of the script, where the error's trace passes through it. */
function placeIn(error: unknown, url: URL): string {
  const stack = error instanceof Error ? error.stack ?? "" : "";
  const place = stack.split("\n").find((line) => line.includes(url.href));
  const line = place === undefined ? undefined : /:(\d+):\d+\)?$/.exec(place.trim())?.[1];
  return line === undefined ? "" : ` (line ${line})`;
}
