/**
 * The values of derived weights, some rows at a time: the original weights are read row by row, combined in
 * float64 and rounded once, into the element type that is asked for. However deep the derivation, each row of
 * an original passes through a core's cache once (twice where a mean over rows is subtracted), and nothing as
 * large as the weight is made beside the result; only a matrix that is transposed, or is the right factor of
 * a product, is held whole. Moved weights are not converted.
 */
import { assertFits, bytesFromNumbers, float64Of, float64Writer, type TensorData } from "../../ir/data.ts";
import { ITEM_BYTES, type StorageType } from "../../ir/dtype.ts";
import { allocate } from "../file.ts";
import { multiplied, summed, then } from "./arithmetic.ts";
import { type Derivation, derivationOf, type Derived } from "./derivation.ts";
import { foldedBias, foldedWeight } from "./folded.ts";
import { beside, sliced, stacked, stored, transposed } from "./moves.ts";
import { quantized } from "./quantized.ts";
import { eachPiece, forPieces, rawView, type RowReader, rowsOf } from "./pieces.ts";

/** The bytes of a derived weight as `dtype`, rounded once. */
export function evaluate(data: Derived, dtype: StorageType): Uint8Array {
  const { rows, width } = rowsOf(data);
  const isHeldSo = dtype === data.dtype;
  if (isHeldSo && data.derivation.kind === "computed") return computed(data, data.derivation);
  const bytes = allocate(rows * width * ITEM_BYTES[dtype], data.origin);
  if (isHeldSo && data.derivation.kind !== "quantized") {
    const whole = rawView(bytes, dtype);
    const read = rowReader(data, dtype);
    forPieces({ rows, width }, (first, count) => {
      read(whole.subarray(first * width, (first + count) * width), first);
    });
    return bytes;
  }
  const write = float64Writer(bytes, dtype);
  const read = rowReader(data, "fp64");
  eachPiece({ rows, width }, read, (values, first) => write(values, first * width));
  const one = new Float64Array(width);
  const valueAt = (i: number) => {
    read(one, Math.floor(i / width));
    return one[i % width]!;
  };
  assertFits(bytes, dtype, { origin: data.origin, valueAt });
  return bytes;
}

function computed(
  { dtype }: Derived,
  { from, compute }: Extract<Derivation, { kind: "computed" }>,
): Uint8Array {
  return bytesFromNumbers(compute(from.map((data) => ({ shape: data.shape, data: float64Of(data) }))), dtype);
}

/** Gives every row of a weight in float64, each in an array that the next is put into. */
export function eachRow(data: TensorData, take: (row: Float64Array, index: number) => void): void {
  const { rows, width } = rowsOf(data);
  eachPiece({ rows, width }, rowReader(data, "fp64"), (values, first) => {
    for (let at = 0, o = first; at < values.length; at += width, o++) {
      take(values.subarray(at, at + width), o);
    }
  });
}

/**
 * Rows of a weight, in float64 or, undecoded, in the type that it is held in. What it comes from is read when
 * this is called, and of parts one below the other when their turn comes.
 */
function rowReader(data: TensorData, dtype: StorageType): RowReader {
  const derivation = derivationOf(data);
  const open = (of: TensorData) => rowReader(of, dtype);
  switch (derivation?.kind) {
    case "slice": {
      const { of, axis, start } = derivation;
      const read = open(of);
      return axis === 0
        ? (target, row) => read(target, start + row)
        : sliced(read, { of, to: data, axis, start }, dtype);
    }
    case "concat": {
      const { parts, axis } = derivation;
      return axis === 0
        ? stacked(parts, open)
        : beside(parts.map((data) => ({ data, read: open(data) })), axis, dtype);
    }
    case "fill": {
      const [value] = rawView(bytesFromNumbers(Float64Array.of(derivation.value), dtype), dtype);
      return (target) => target.fill(value!);
    }
    case "reshape":
      return open(derivation.of);
    case "transpose":
      return transposed(derivation.of, dtype);
    default:
      return derivation === null || derivation.kind === "computed"
        ? stored(data, dtype)
        : computer(derivation);
  }
}

/** Rows of a weight that is computed, in float64. */
function computer(
  derivation: Exclude<
    Derivation,
    { kind: "slice" | "concat" | "fill" | "reshape" | "transpose" | "computed" }
  >,
): RowReader {
  const open = (of: TensorData) => rowReader(of, "fp64");
  switch (derivation.kind) {
    case "affine":
      return then(derivation.affine, derivation.of, open(derivation.of));
    case "sum":
      return summed(derivation.parts.map(open));
    case "product":
      return multiplied(open(derivation.left), derivation.right);
    case "fold": {
      const { fold, fold: { weight, bias }, part } = derivation;
      return part === "weight"
        ? foldedWeight(fold, open(weight))
        : foldedBias(fold, bias && open(bias), () => open(weight));
    }
    case "quantized":
      return quantized(open(derivation.of), {
        size: rowsOf(derivation.of),
        how: derivation.how,
        known: derivation.steps(),
      });
  }
}
