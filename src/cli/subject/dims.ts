/** `--dim NAME=N` fixes open sizes of a network; the batch size has `--batch`. */
import type { Model } from "../../dsl/model.ts";
import { quoted } from "../../text.ts";
import { asUsage } from "../options.ts";
import { UsageError } from "../terminal.ts";

/** What the parser gives for it. */
export interface DimValues {
  readonly dim?: readonly string[] | undefined;
  readonly batch?: string | undefined;
}

/**
 * The sizes of `--dim` by name.
 *
 * @throws {UsageError} something else than names and whole numbers, or a name twice
 */
export function dimsGiven({ dim = [] }: DimValues): Readonly<Record<string, number>> {
  const fixed = new Map<string, number>();
  for (const text of dim) {
    const [, name, size] = /^\s*([^=\s]+)\s*=\s*(\d{1,10})\s*$/.exec(text) ?? [];
    if (name === undefined) {
      throw new UsageError(`--dim ${quoted(text)}: give NAME=N with a whole number, as in --dim T=128`);
    }
    if (fixed.has(name)) throw new UsageError(`--dim ${quoted(text)}: ${quoted(name)} is given twice`);
    fixed.set(name, Number(size));
  }
  return Object.fromEntries(fixed);
}

/**
 * The model with the sizes of `--dim`, apart from those that it has fixed already.
 *
 * @throws {UsageError} a size that the model does not have open, a value that it does not take, the batch
 *   size
 */
export async function fixingDims(model: Model, values: DimValues): Promise<Model> {
  const given = dimsGiven(values);
  if (given.B !== undefined && model.openDims.includes("B")) {
    const { batch } = values;
    throw new UsageError(
      batch === undefined
        ? `--dim B=${given.B}: B is the batch size, which --batch fixes: build-engine and baseline take --batch ${given.B}`
        : `--dim B=${given.B} and --batch ${batch}: both say the batch size; give --batch alone`,
    );
  }
  const fixed = Object.entries(given).filter(([name, size]) => model.fixedDims[name] !== size);
  if (fixed.length === 0) return model;
  const { withDims } = await import("../../dsl/fixed_dims.ts");
  return asUsage(() => withDims(model, Object.fromEntries(fixed)));
}
