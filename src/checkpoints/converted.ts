/**
 * Files in which `deno task convert` took normalizations out: which ones they are is said in the metadata, by
 * their scopes in the description, so a file may hold two kinds side by side whatever its layout. The layout
 * is read as the file was before; each converted scope then has the family that its new tensors are of.
 */
import { z } from "npm:zod@4.6.7";
import { UnfoldError } from "../errors.ts";
import { type Norm, NORMS } from "../norms/families.ts";
import type { Checkpoint } from "../weights/mod.ts";
import { pythonJson } from "../weights/json.ts";
import { withoutTensors } from "../weights/naming.ts";
import type { Recognised } from "./define.ts";
import { scopedNorm } from "./norms.ts";

/** Families that a conversion takes out. */
export const SOURCES = ["ln", "rms", "gn"] as const;

/** Whether normalizations of this family can be converted. */
export const isSource = (family: string): boolean => SOURCES.some((source) => source === family);

/** What a converted file says of itself: under `converted` in the JSON of the metadata `unfold`. */
export interface Converted {
  /** What each converted normalization is now: `weight`, `bias` and `running_var`, folded completely. */
  readonly family: "un";
  /** Beside `running_var`. */
  readonly epsilon: number;
  /** The family that the network was trained with and that the others still are of. */
  readonly from: (typeof SOURCES)[number];
  /** Converted normalizations as scopes of the description. */
  readonly scopes: readonly string[];
  /** The others. */
  readonly kept: readonly string[];
  /** Tensors that the file did not have before. */
  readonly added: readonly string[];
}

/** The scope that a parameter is in. */
export const scopeOf = (parameter: string): string => parameter.slice(0, parameter.lastIndexOf("."));

/** Whether a parameter of a converted normalization is the one that it did not have before. */
export const isMoment = (parameter: string): boolean => parameter.endsWith(".running_var");

/** Where that one lies in a file: beside the gain, whatever a layout calls that. */
export const momentBeside = (gain: string): string =>
  `${gain.slice(0, gain.lastIndexOf(".") + 1)}running_var`;

const NAMES = z.array(z.string().min(1).max(1000)).max(100_000);
const ConvertedSchema: z.ZodType<Converted> = z.strictObject({
  family: z.literal("un"),
  epsilon: z.number().positive(),
  from: z.enum(SOURCES),
  scopes: NAMES.min(1),
  kept: NAMES,
  added: NAMES,
});

/** What a file says was converted in it; null where it says nothing. */
export function convertedIn({ path, metadata }: Pick<Checkpoint, "path" | "metadata">): Converted | null {
  if (metadata.unfold === undefined) return null;
  let said: unknown;
  try {
    said = pythonJson(metadata.unfold);
  } catch {
    return null; // Whoever reads the settings in it says so.
  }
  const converted = typeof said === "object" && said !== null && "converted" in said ? said.converted : null;
  if (converted === null) return null;
  const checked = ConvertedSchema.safeParse(converted);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new UnfoldError(
    `the metadata of ${path}: converted.${issue!.path.join(".")}: ${issue!.message}; write the file with ` +
      "deno task convert again",
  );
}

/** The file as it was before: without the tensors that were added. */
export function beforeConversion(checkpoint: Checkpoint, converted: Converted | null): Checkpoint {
  return converted === null ? checkpoint : withoutTensors(checkpoint, new Set(converted.added));
}

/** `norm`, the network's own, where it was kept, and what took its place elsewhere. */
export function convertedNorm(norm: Norm, { family, epsilon, scopes, kept }: Converted): Norm {
  const at = new Set(scopes);
  const instead = NORMS[family]({ epsilon });
  if (kept.length === 0) return instead;
  return {
    ...scopedNorm(norm, (scope) => at.has(scope) ? instead : undefined),
    family,
    label: `${instead.label} (${at.size} of ${at.size + kept.length}) and ${norm.label}`,
    offline: false,
    ignoredKeys: [...norm.ignoredKeys, ...instead.ignoredKeys],
  };
}

/** What a layout read of a file as it was before, as it is now; itself where nothing was converted. */
export function asConverted<Read extends Recognised>(read: Read, converted: Converted | null): Read {
  if (converted === null) return read;
  return {
    ...read,
    model: { ...read.model, norm: convertedNorm(read.model.norm, converted) },
    locate: locateConverted(read.locate ?? ((parameter) => parameter), converted),
  };
}

/**
 * Where a tensor of a converted normalization lies: beside the gain that it had before, whatever its layout
 * calls that.
 */
function locateConverted(
  locate: NonNullable<Recognised["locate"]>,
  { scopes }: Converted,
): NonNullable<Recognised["locate"]> {
  const at = new Set(scopes);
  return (parameter) => {
    const scope = scopeOf(parameter);
    if (!at.has(scope)) return locate(parameter);
    const gain = locate(`${scope}.weight`);
    return typeof gain === "string" && isMoment(parameter) ? momentBeside(gain) : locate(parameter);
  };
}
