/**
 * From a command line to what a baseline builds, and back from what a baseline remembers of that command
 * line.
 */
import { parseBatch } from "../compile/batch.ts";
import type { Subject } from "../compile/order.ts";
import { UnfoldError } from "../errors.ts";
import { ENGINE_PRECISIONS } from "../ir/dtype.ts";
import type { Recipe } from "../regress/manifest.ts";
import { fromHome } from "../report/home.ts";
import { SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { asUsage, oneOf } from "./options.ts";
import { allowOverflowOf, targetsOf } from "./precision.ts";

/** The options that say what is built, for `parseOptions`. */
export const RECIPE_OPTIONS = {
  ...SUBJECT_OPTIONS,
  precision: { type: "string", default: "fp32" },
  batch: { type: "string", default: "8" },
  target: { type: "string" },
  "allow-overflow": { type: "boolean", default: false },
} as const;

type Values = {
  readonly [Key in keyof typeof RECIPE_OPTIONS]?: string | boolean | readonly string[] | undefined;
};

/** What the command line asks for. */
export function recipeOf(argument: string | undefined, values: Values): Recipe {
  const options: Record<string, string | boolean | string[]> = {};
  for (const key of Object.keys(RECIPE_OPTIONS) as (keyof Values)[]) {
    const value = values[key];
    if (value !== undefined) options[key] = typeof value === "object" ? [...value] : value;
  }
  return { argument: argument ?? null, options };
}

/** The model and its options; paths are read from the working folder. */
export async function subjectFrom({ argument, options }: Recipe): Promise<Subject> {
  const text = (key: keyof typeof RECIPE_OPTIONS) => {
    const value = options[key];
    return typeof value === "string" ? fromHome(value) : undefined;
  };
  const { rename, set, dim } = options;
  const { model, norm, layerNorm, weights } = await subjectOf(
    argument === null ? undefined : fromHome(argument),
    {
      weights: text("weights"),
      checkpoint: text("checkpoint"),
      state: text("state"),
      prefix: text("prefix"),
      rename: typeof rename === "object" ? [...rename] : undefined,
      heads: text("heads"),
      activation: text("activation"),
      epsilon: text("epsilon"),
      pool: text("pool"),
      "image-size": text("image-size"),
      mode: text("mode"),
      set: typeof set === "object" ? set : undefined,
      dim: typeof dim === "object" ? dim : undefined,
      norm: text("norm"),
      expect: text("expect"),
      "layer-norm": text("layer-norm") ?? "layer",
      "allow-nonfinite": options["allow-nonfinite"] === true,
    },
  );
  const precision = oneOf("precision", text("precision") ?? "fp32", ENGINE_PRECISIONS);
  const batch = asUsage(() => parseBatch(text("batch") ?? "8"));
  return {
    model,
    norm,
    layerNorm,
    weights,
    batch,
    precision,
    allowOverflow: allowOverflowOf(options["allow-overflow"] === true, precision),
    targets: targetsOf(text("target"), { precision, engines: true }),
  };
}

/** Every model that a baseline can build again from its command line. */
export async function subjectsOf(
  models: readonly { readonly model: string; readonly recipe: Recipe | null }[],
): Promise<Subject[]> {
  const subjects: Subject[] = [];
  for (const { model, recipe } of models) {
    if (recipe === null) {
      throw new UnfoldError(
        `the model ${model} was saved by a script; run the comparison from a script too, with regress() of mod.ts`,
      );
    }
    subjects.push(await subjectFrom(recipe));
  }
  return subjects;
}
