/** `--dim NAME=N` fixes open sizes of a network; the batch size has `--batch`. */
import type { Model } from "../../dsl/model.ts";
import { quoted } from "../../text.ts";
import { asUsage } from "../options.ts";
import { UsageError } from "../terminal.ts";

/**
 * The model with the sizes of `--dim`.
 *
 * @throws {UsageError} a size that the model does not have open, a value that it does not take, the batch
 *   size
 */
export async function fixingDims(
  model: Model,
  { dim = [], batch }: { readonly dim?: readonly string[] | undefined; readonly batch?: string | undefined },
): Promise<Model> {
  if (dim.length === 0) return model;
  const fixed = new Map<string, number>();
  for (const text of dim) {
    const [, name, size] = /^\s*([^=\s]+)\s*=\s*(\d{1,10})\s*$/.exec(text) ?? [];
    if (name === undefined) {
      throw new UsageError(`--dim ${quoted(text)}: give NAME=N with a whole number, as in --dim T=128`);
    }
    if (fixed.has(name)) throw new UsageError(`--dim ${quoted(text)}: ${quoted(name)} is given twice`);
    if (name === "B" && model.openDims.includes("B")) {
      throw new UsageError(
        batch === undefined
          ? `--dim ${text}: B is the batch size, which --batch fixes: build-engine and baseline take --batch ${size}`
          : `--dim ${text} and --batch ${batch}: both say the batch size; give --batch alone`,
      );
    }
    fixed.set(name, Number(size));
  }
  const { withDims } = await import("../../dsl/fixed_dims.ts");
  return asUsage(() => withDims(model, Object.fromEntries(fixed)));
}
