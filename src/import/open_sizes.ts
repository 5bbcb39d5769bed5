/**
 * What the operators of a file make of its open sizes: those with two names that have to be equal are one,
 * and a batch that is open by the inputs' shapes alone, since the exporter wrote its example's into the
 * network, is an answer to the user.
 */
import { UnfoldError } from "../errors.ts";
import { float64Of } from "../ir/data.ts";
import type { DimValues } from "../ir/shape.ts";
import type { OnnxFile } from "../onnx/file.ts";
import { type Inputs, SameSize, withSameSize } from "./inputs.ts";

/** A batch to look at a network with: neither 1, which broadcasts, nor one that people export with. */
const ANY_BATCH = 5;

/** Sizes that a batch may be frozen at which are tried; one that is not it fails soon. */
const MOST_TRIED = 16;
/** Elements of a tensor that may be a shape. */
const MOST_AXES = 8;

/** Sees what a network is with its batch fixed, `{ B: 2 }`. */
type Look<Seen> = (inputs: Inputs, dims: DimValues) => Seen;

interface Understood<Seen> {
  readonly inputs: Inputs;
  readonly seen: Seen;
  /** Sizes that are fixed: those that are given, and a batch that the file is frozen at. */
  readonly dims: DimValues;
}

/**
 * What `look` sees, once sizes that the file's operators have equal have one name.
 *
 * @param options.batch what the batch is to be, where the file takes but one
 * @throws {UnfoldError} the file is frozen at a batch that nobody asked for, or cannot be looked at
 */
export function understood<Seen>(
  named: Inputs,
  look: Look<Seen>,
  { file, dims, batch }: {
    readonly file: OnnxFile;
    readonly dims: DimValues;
    readonly batch: number | null;
  },
): Understood<Seen> {
  const at = (size: number) => {
    const [inputs, seen] = withEqualSizes(named, look, { size, dims });
    return { inputs, seen };
  };
  const isOpen = named.sizes.has("B") && dims.B === undefined;
  try {
    return { ...at(ANY_BATCH), dims };
  } catch (error) {
    if (!(error instanceof UnfoldError) || !isOpen) throw error;
    const works = (size: number) => {
      try {
        return at(size);
      } catch (other) {
        if (other instanceof UnfoldError) return null;
        throw other;
      }
    };
    const asked = batch === null ? null : works(batch);
    if (asked !== null) return { ...asked, dims: { ...dims, B: batch! } };
    const frozen = likelyBatches(file).find((size) => works(size) !== null);
    if (frozen === undefined) throw error;
    throw new UnfoldError(
      `${file.path} is frozen at a batch of ${frozen}, that of the example it was exported with, though its inputs ` +
        `say that it is open (${error.message}). Export it again with torch.onnx.export(..., dynamo=True), or with ` +
        `x.shape[0] in place of a number in the network; or fix it: --dim B=${frozen}`,
      { cause: error },
    );
  }
}

/** What `look` makes of the inputs, once sizes that the file's operators have equal have one name. */
function withEqualSizes<Seen>(
  inputs: Inputs,
  look: Look<Seen>,
  { size, dims }: { readonly size: number; readonly dims: DimValues },
): readonly [Inputs, Seen] {
  const seen = new Set<string>();
  for (;;) {
    try {
      return [inputs, look(inputs, { B: size, ...dims })];
    } catch (error) {
      // One that is found again is not a name of the inputs: another would be found for ever.
      if (!(error instanceof SameSize) || seen.has(error.message)) throw error;
      seen.add(error.message);
      const { names: [name, other], where } = error;
      const isBatch = other === size && sizeAt(size + 1, name) === size + 1;
      inputs = withSameSize(inputs, isBatch ? new SameSize([name, "B"], where) : error);
    }
  }

  /** What a named size is to be in another batch. */
  function sizeAt(batch: number, name: string): string | number | null {
    try {
      look(inputs, { B: batch, ...dims });
    } catch (error) {
      if (error instanceof SameSize && error.names[0] === name) return error.names[1];
      if (!(error instanceof UnfoldError)) throw error;
    }
    return null;
  }
}

/** Sizes of first axes that the file says or has among its shapes, the most frequent first. */
function likelyBatches({ graph: { inputs, outputs, values, initializers } }: OnnxFile): number[] {
  const times = new Map<number, number>();
  const count = (size: unknown) => {
    if (typeof size === "number" && size >= 1 && size <= 2 ** 20) times.set(size, (times.get(size) ?? 0) + 1);
  };
  for (const { shape } of [...inputs, ...outputs, ...values.values()]) count(shape?.[0]);
  for (const data of initializers.values()) {
    const { dtype, shape } = data;
    if (dtype === "int64" && shape.length === 1 && shape[0]! > 0 && shape[0]! <= MOST_AXES) {
      count(float64Of(data)[0]);
    } else if (shape.length > 2) count(shape[0]);
  }
  const sizes = [...times].toSorted(([, a], [, b]) => b - a).map(([size]) => size);
  // One broadcasts, and may seem to do where another is meant.
  return [...sizes.filter((size) => size !== 1).slice(0, MOST_TRIED), 1];
}
