/** `--keep PRECISION SCOPES`: what of a network of fp16 or bf16 is computed in another type. */
import type { Keep, Model } from "../../dsl/model.ts";
import { PRECISIONS } from "../../ir/dtype.ts";
import { UsageError } from "../terminal.ts";

/**
 * The model with what its own description and `--keep` keep.
 *
 * @param options.precision of the network, where the command has but one
 * @throws {UsageError} something else than a type and scopes, or a network of fp32
 */
export function keeping(
  model: Model,
  { keep: texts = [], precision }: {
    readonly keep?: readonly string[] | undefined;
    readonly precision?: string | undefined;
  },
): Model {
  if (texts.length === 0) return model;
  if (precision === "fp32" || precision === "tf32") {
    throw new UsageError(
      "--keep: this is for --precision fp16 and bf16, and for int8 and the like; a network of fp32 is kept as it is",
    );
  }
  const keep = texts.map((text): Keep[number] => {
    const [, type, scopes] = /^(\S+)\s+(\S+)$/.exec(text.trim()) ?? [];
    const precision = PRECISIONS.find((precision) => precision === type);
    if (precision === undefined || scopes === undefined) {
      throw new UsageError(
        `--keep ${text}: give one of ${PRECISIONS.join(", ")}, then scopes, as in --keep fp32 stream or ` +
          "--keep fp32 'blocks.*.mlp.fc2'",
      );
    }
    return [precision, scopes];
  });
  return { ...model, keep: [...model.keep ?? [], ...keep] };
}

/** The options as they are typed. */
export function keepText(keep: Keep): string {
  return keep.map(([precision, scopes]) =>
    `--keep ${precision} ${/^[\w./+-]+$/.test(scopes) ? scopes : `'${scopes}'`}`
  ).join(" ");
}
