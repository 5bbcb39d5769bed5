/** MODEL.onnx: the network in a file that an exporter wrote. */
import type { RecognisedCheckpoint } from "../../checkpoints/recognised.ts";
import type { ImportedOnnx } from "../../import/model.ts";
import { asUsage, requireThere } from "../options.ts";
import { UsageError } from "../terminal.ts";
import { dimsGiven, type DimValues } from "./dims.ts";

/** Whether a path is an ONNX file's, by its name. */
export const isOnnxFile = (path: string): boolean => /\.onnx$/i.test(path);

interface ImportValues extends DimValues {
  readonly reference?: string | undefined;
  readonly "keep-going"?: boolean | undefined;
}

/**
 * The network of a MODEL that is an ONNX file, null of another. Sizes that `--dim` fixes are known before it
 * is read: masks are computed from them.
 *
 * @throws {UsageError} `--reference` or `--keep-going` of another MODEL
 */
export async function importedOf(
  argument: string | undefined,
  values: ImportValues,
): Promise<ImportedOnnx | null> {
  const { reference, "keep-going": keepGoing = false } = values;
  if (argument === undefined || !isOnnxFile(argument)) {
    const [flag] = [reference !== undefined && "reference", keepGoing && "keep-going"].filter(Boolean);
    if (flag === undefined) return null;
    throw new UsageError(`--${flag}: this is for a MODEL.onnx`);
  }
  await requireThere(argument);
  const { fixed: dims } = dimsGiven(values);
  const { parseBatch } = await import("../../compile/batch.ts");
  const { importOnnx } = await import("../../import/model.ts");
  const batch = values.batch === undefined ? null : asUsage(() => parseBatch(values.batch!)).fixed;
  const compared = reference === undefined ? undefined : importOnnx(reference, { dims, batch });
  return importOnnx(argument, { dims, batch, keepGoing, reference: compared });
}

/**
 * `--weights-in-file`: that a network has the weights of its own file.
 *
 * @throws {UsageError} others are given, or it is a script or a network by name, or a file without weights
 */
export function requireOwnWeights(
  { weights }: { readonly weights?: string | undefined },
  recognised: RecognisedCheckpoint | null,
): void {
  if (weights !== undefined) throw new UsageError("--weights-in-file and --weights: give one of them");
  if (recognised === null || recognised.tensors?.names().length === 0) {
    throw new UsageError(
      "--weights-in-file: this MODEL has no weights in it; give a MODEL.onnx, or --weights FILE",
    );
  }
}
