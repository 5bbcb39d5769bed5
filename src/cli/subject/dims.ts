/** `--dim NAME=N` fixes open sizes of a network, the batch, B, among them where `--batch` does not. */
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
 * @throws {UsageError} something else than names and whole numbers, a name twice, the batch besides `--batch`
 */
export function dimsGiven({ dim = [], batch }: DimValues): Readonly<Record<string, number>> {
  const fixed = new Map<string, number>();
  for (const text of dim) {
    const [, name, size] = /^\s*([^=\s]+)\s*=\s*(\d{1,10})\s*$/.exec(text) ?? [];
    if (name === undefined) {
      throw new UsageError(`--dim ${quoted(text)}: give NAME=N with a whole number, as in --dim T=128`);
    }
    if (fixed.has(name)) throw new UsageError(`--dim ${quoted(text)}: ${quoted(name)} is given twice`);
    fixed.set(name, Number(size));
  }
  if (fixed.has("B") && batch !== undefined) {
    throw new UsageError(
      `--dim B=${fixed.get("B")} and --batch ${batch}: both say the batch size; give --batch alone`,
    );
  }
  return Object.fromEntries(fixed);
}

/**
 * The model with the sizes of `--dim`, apart from those that it has fixed already.
 *
 * @throws {UsageError} a size that the model does not have open, a value that it does not take
 */
export async function fixingDims(model: Model, values: DimValues): Promise<Model> {
  const given = dimsGiven(values);
  const fixed = Object.entries(given).filter(([name, size]) => model.fixedDims[name] !== size);
  if (fixed.length === 0) return model;
  const { withDims } = await import("../../dsl/fixed_dims.ts");
  return asUsage(() => withDims(model, Object.fromEntries(fixed)));
}
