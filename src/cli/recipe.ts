/** From a command line to what a baseline builds, and back from the recipe that a baseline keeps. */
import { parseBatch } from "../compile/batch.ts";
import type { Subject } from "../compile/order.ts";
import { UnfoldError } from "../errors.ts";
import type { Recipe } from "../regress/manifest.ts";
import { fromHome } from "../report/home.ts";
import { SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { asUsage, parseStrictly, type ValuesOf } from "./options.ts";
import { allowOverflowOf, precisionOf, QUANTIZE_OPTIONS, targetsOf } from "./precision.ts";

/** The options that say what is built, for `parseOptions`. */
export const RECIPE_OPTIONS = {
  ...SUBJECT_OPTIONS,
  ...QUANTIZE_OPTIONS,
  precision: { type: "string", default: "fp32" },
  batch: { type: "string", default: "8" },
  target: { type: "string" },
  "allow-overflow": { type: "boolean", default: false },
} as const;

type Values = Partial<ValuesOf<typeof RECIPE_OPTIONS>>;

/** What the command line asks for. */
export function recipeOf(argument: string | undefined, values: Values): Recipe {
  const options: Record<string, string | boolean | string[]> = {};
  for (const key of Object.keys(RECIPE_OPTIONS) as (keyof Values)[]) {
    const value = values[key];
    if (value !== undefined) options[key] = typeof value === "object" ? [...value] : value;
  }
  return { argument: argument ?? null, options };
}

/** The model and its options, of those that this UNfold has; paths are read from the working folder. */
export async function subjectFrom({ argument, options }: Recipe): Promise<Subject> {
  const args = Object.entries(options).flatMap(([name, value]) =>
    !(name in RECIPE_OPTIONS) || value === false
      ? []
      : value === true
      ? [`--${name}`]
      : [value].flat().map((text) => `--${name}=${typeof value === "string" ? fromHome(text) : text}`)
  );
  const { values } = parseStrictly(args, { command: "baseline", options: RECIPE_OPTIONS, most: 0 });
  const { precision, quantize } = precisionOf({ ...values, onnx: "standard" }, { engines: true });
  const subject = await subjectOf(argument === null ? undefined : fromHome(argument), values);
  return {
    ...subject,
    batch: asUsage(() => parseBatch(values.batch)),
    precision,
    quantize,
    allowOverflow: allowOverflowOf(values["allow-overflow"], precision),
    targets: targetsOf(values.target, { precision: values.precision, engines: true }),
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
