/**
 * The values of derived weights, some rows at a time: the original weights are read row by row, combined in
 * float64 and rounded once, into the element type that is asked for. However deep the derivation, each row of
 * an original passes through a core's cache once (twice where a mean over rows is subtracted), and nothing as
 * large as the weight is made beside the result; only a matrix that is transposed, or is the right factor of
 * a product, is held whole. Moved weights are not converted.
 */
import {
  assertFits,
  bytesAs,
  bytesFromNumbers,
  float64Of,
  float64Writer,
  type TensorData,
} from "../../ir/data.ts";
import { ITEM_BYTES, type StorageType } from "../../ir/dtype.ts";
import { allocate } from "../file.ts";
import { multiplied, summed, then } from "./arithmetic.ts";
import { type Derivation, derivationOf, type Derived, sourcesOf } from "./derivation.ts";
import { foldedBias, foldedWeight } from "./folded.ts";
import { beside, sliced, stacked, stored, transposed } from "./moves.ts";
import { quantized } from "./quantized.ts";
import { eachPiece, forPieces, rawView, roomFor, type RowReader, rowsOf } from "./pieces.ts";

/** The bytes of a derived weight as `dtype`, rounded once. */
export function evaluate(data: Derived, dtype: StorageType): Uint8Array {
  const { rows, width } = rowsOf(data);
  if (dtype === data.dtype && data.derivation.kind === "computed") return computed(data, data.derivation);
  const bytes = allocate(rows * width * ITEM_BYTES[dtype], data.origin);
  rowWriter(data, dtype)(bytes, { first: 0, count: rows });
  return bytes;
}

/** Of what is made of a weight at a time, for a file: enough that the calls do not cost. */
const PART_BYTES = 2 ** 20;

/**
 * The bytes of any weight as `dtype`, rounded once, a part at a time, so that neither it nor what it is made
 * of is in memory as a whole. Each part is overwritten by the next but one.
 */
export function* partsOf(data: TensorData, dtype: StorageType): Generator<Uint8Array> {
  const { rows, width } = rowsOf(data);
  const rowBytes = width * ITEM_BYTES[dtype];
  if (rows * rowBytes <= PART_BYTES || derivationOf(data)?.kind === "computed") {
    yield bytesAs(data, dtype);
    return;
  }
  const most = Math.max(1, Math.floor(PART_BYTES / rowBytes));
  const rooms = [0, 1].map(() => allocate(most * rowBytes, data.origin));
  const write = rowWriter(data, dtype);
  for (let first = 0; first < rows; first += most) {
    const count = Math.min(most, rows - first);
    const bytes = rooms.reverse()[0]!.subarray(0, count * rowBytes);
    write(bytes, { first, count });
    yield bytes;
  }
}

/** Writes `count` rows from `first` on into an array of that many bytes, rounded once. */
function rowWriter(
  data: TensorData,
  dtype: StorageType,
): (bytes: Uint8Array<ArrayBuffer>, rows: { readonly first: number; readonly count: number }) => void {
  const { width } = rowsOf(data);
  if (dtype === data.dtype && !isOfQuantized(data)) {
    const read = rowReader(data, dtype);
    return (bytes, { first, count }) => {
      const whole = rawView(bytes, dtype);
      forPieces({ rows: count, width }, (row, some) => {
        read(whole.subarray(row * width, (row + some) * width), first + row);
      });
    };
  }
  const read = rowReader(data, "fp64");
  const room = roomFor("fp64");
  const one = new Float64Array(width);
  return (bytes, { first, count }) => {
    const write = float64Writer(bytes, dtype);
    forPieces({ rows: count, width }, (row, some) => {
      const values = room(some * width);
      read(values, first + row);
      write(values, row * width);
    });
    const valueAt = (i: number) => {
      read(one, first + Math.floor(i / width));
      return one[i % width]!;
    };
    assertFits(bytes, dtype, { origin: data.origin, first: first * width, valueAt });
  };
}

/** Whether values are computed as numbers of steps: what moves them has no bytes to move. */
function isOfQuantized(data: TensorData): boolean {
  const derivation = derivationOf(data);
  return derivation !== null &&
    (derivation.kind === "quantized" || (data.dtype !== "fp64" && sourcesOf(derivation).some(isOfQuantized)));
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
 * Rows of a weight, in float64 or, undecoded, in the type that it is held in. Small tensors that it comes
 * from are read when this is called, others with the rows, and parts one below the other in their turn.
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
