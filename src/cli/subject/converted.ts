/**
 * A model with the weights that `deno task convert` wrote: which normalization each scope has, and no others'
 * outputs.
 */
import type { Converted } from "../../checkpoints/converted.ts";
import type { Model } from "../../dsl/model.ts";
import type { NormFamily } from "../../norms/families.ts";
import type { OpenOptions } from "../../weights/mod.ts";

/** What `deno task convert` says in the file of `--weights`; null where it does not. */
export async function convertedOf(
  { weights }: { readonly weights?: string | undefined },
  opening: OpenOptions,
): Promise<Converted | null> {
  if (weights === undefined) return null;
  const { convertedIn } = await import("../../checkpoints/converted.ts");
  const { openWeights } = await import("../../import/weights.ts");
  return convertedIn(openWeights(weights, opening));
}

/** The model without a family's outputs, which are those of other weights. */
export function withoutLogits(model: Model, family: NormFamily): Model {
  const { evaluation } = model;
  if (evaluation?.logits?.[family] === undefined) return model;
  const { [family]: _, ...logits } = evaluation.logits;
  return { ...model, evaluation: { ...evaluation, logits } };
}
