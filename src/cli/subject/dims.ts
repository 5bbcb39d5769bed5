/**
 * `--dim NAME=N` fixes an open size of a network, the batch, B, among them where `--batch` does not;
 * `--dim NAME=MIN:OPT:MAX` says for which sizes an engine is built.
 */
import { parseRange } from "../../compile/batch.ts";
import type { DimRange, Model } from "../../dsl/model.ts";
import { quoted } from "../../text.ts";
import { asUsage } from "../options.ts";
import { UsageError } from "../terminal.ts";

/** What the parser gives for it. */
export interface DimValues {
  readonly dim?: readonly string[] | undefined;
  readonly batch?: string | undefined;
}

/** Sizes by name: those that are fixed, and ranges of those that stay open. */
interface Dims {
  readonly fixed: Readonly<Record<string, number>>;
  readonly ranges: Readonly<Record<string, DimRange>>;
}

/**
 * The sizes of `--dim` by name.
 *
 * @throws {UsageError} something else than names and whole numbers, a name twice, the batch besides `--batch`
 */
export function dimsGiven({ dim = [], batch }: DimValues): Dims {
  const [fixed, ranges] = [new Map<string, number>(), new Map<string, DimRange>()];
  for (const text of dim) {
    const option = `--dim ${quoted(text)}`;
    const example = "--dim T=1:128:512";
    const [, name, size] = /^\s*([^=\s]+)\s*=\s*(\d{1,10}|[\d:]*:[\d:]*)\s*$/.exec(text) ?? [];
    if (name === undefined) {
      throw new UsageError(
        `${option}: give NAME=N with a whole number, as in --dim T=128, or a range, as in ${example}`,
      );
    }
    if (fixed.has(name) || ranges.has(name)) {
      throw new UsageError(`${option}: ${quoted(name)} is given twice`);
    }
    if (size!.includes(":")) ranges.set(name, asUsage(() => parseRange(size!, { option, example })));
    else fixed.set(name, Number(size));
  }
  const range = ranges.get("B");
  if (range !== undefined) {
    const { min, opt, max } = range;
    throw new UsageError(`--dim B: B is the batch size; its range is given as --batch ${min}:${opt}:${max}`);
  }
  if (fixed.has("B") && batch !== undefined) {
    throw new UsageError(
      `--dim B=${fixed.get("B")} and --batch ${batch}: both say the batch size; give --batch alone`,
    );
  }
  return { fixed: Object.fromEntries(fixed), ranges: Object.fromEntries(ranges) };
}

/**
 * The sizes of `--dim` where there are no ranges.
 *
 * @throws {UsageError} a range, or what `dimsGiven` refuses
 */
export function fixedGiven(values: DimValues): Dims["fixed"] {
  const { fixed, ranges } = dimsGiven(values);
  const [open] = Object.keys(ranges);
  if (open === undefined) return fixed;
  throw new UsageError(`--dim ${open}: give one size here, or leave it open; engines alone have ranges`);
}

/**
 * The model with the sizes of `--dim`, apart from those that it has fixed already.
 *
 * @throws {UsageError} a size that the model does not have open, a value or a range that it does not take
 */
export async function fixingDims(model: Model, values: DimValues): Promise<Model> {
  const { fixed: given, ranges } = dimsGiven(values);
  const fixed = Object.entries(given).filter(([name, size]) => model.fixedDims[name] !== size);
  if (fixed.length === 0 && Object.keys(ranges).length === 0) return model;
  const { withDims } = await import("../../dsl/fixed_dims.ts");
  return asUsage(() => withDims(model, { ...Object.fromEntries(fixed), ...ranges }));
}
