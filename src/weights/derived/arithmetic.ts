/** Readers of weights that are computed: in float64, in the array they are read into, row after row. */
import { elementCount, float64Of, type TensorData } from "../../ir/data.ts";
import type { Affine } from "./derivation.ts";
import { eachPiece, roomFor, type RowReader, rowsOf, type Size } from "./pieces.ts";

/** Changes rows in place, of which the first is the given one. */
export type RowMap = (values: Float64Array, row: number) => void;

/** Rows with an affine on them; `groups` are those that a convolution's channels are in. */
export function then(affine: Affine, of: TensorData, read: RowReader, groups = 1): RowReader {
  const map = affine.axis === 0 ? overRows(affine, rowsOf(of), read) : withinRows(affine, of, groups);
  return (target, row) => {
    read(target, row);
    map(target, row);
  };
}

function overRows({ scale, shift, about }: Affine, size: Size, read: RowReader): RowMap {
  const { rows, width } = size;
  const [factors, terms] = [scale && float64Of(scale), shift && float64Of(shift)];
  const centre = about === null ? null : new Float64Array(width);
  if (centre !== null && about === "last") read(centre, rows - 1);
  if (centre !== null && about === "mean") {
    eachPiece(size, read, (values) => {
      for (let at = 0; at < values.length; at += width) addTo(centre, { values, at, factor: 1 / rows });
    });
  }
  return (values, row) => {
    for (let at = 0, o = row; at < values.length; at += width, o++) {
      if (centre !== null) { for (let k = 0; k < width; k++) values[at + k]! -= centre[k]!; }
      const [factor, term] = [factors?.[o] ?? 1, terms?.[o] ?? 0];
      if (factor !== 1) { for (let k = at; k < at + width; k++) values[k]! *= factor; }
      if (term !== 0) { for (let k = at; k < at + width; k++) values[k]! += term; }
    }
  };
}

function withinRows({ axis, scale, shift, about }: Affine, of: TensorData, groups: number): RowMap {
  const { rows, width } = rowsOf(of);
  const inner = elementCount(of.shape.slice(axis + 1));
  const length = of.shape[axis]! * inner;
  const [factors, terms] = [scale, shift].map((vector) => vector && repeated(float64Of(vector), inner));
  return (values, row) => {
    for (let at = 0, o = row; at < values.length; at += width, o++) {
      const first = groupStart(o, { groups, rows, width });
      for (let block = at; block < at + width; block += length) {
        if (about !== null) subtractCentre(values.subarray(block, block + length), { inner, about });
        if (factors) { for (let k = 0; k < length; k++) values[block + k]! *= factors[first + k]!; }
        if (terms) { for (let k = 0; k < length; k++) values[block + k]! += terms[first + k]!; }
      }
    }
  };
}

/** Where the channels of an output's group begin. */
export const groupStart = (output: number, { groups, rows, width }: Size & { readonly groups: number }) =>
  Math.floor(output * groups / rows) * width;

/** Subtracts the mean over channels, or the last, from each of a kernel's `inner` elements (linear: one). */
function subtractCentre(
  block: Float64Array,
  { inner, about }: { inner: number; about: "mean" | "last" },
): void {
  for (let i = 0; i < inner; i++) {
    let sum = 0;
    for (let k = i; k < block.length; k += inner) sum += block[k]!;
    const centre = about === "mean" ? sum * inner / block.length : block[block.length - inner + i]!;
    for (let k = i; k < block.length; k += inner) block[k]! -= centre;
  }
}

/** Each entry `count` times, for the elements of a kernel. */
export function repeated(vector: Float64Array, count: number): Float64Array {
  return count === 1
    ? vector
    : new Float64Array(vector.length * count).map((_, k) => vector[Math.floor(k / count)]!);
}

export function summed([first, ...others]: readonly RowReader[]): RowReader {
  const room = roomFor("fp64");
  return (target, row) => {
    first!(target, row);
    for (const read of others) {
      const values = room(target.length);
      read(values, row);
      addTo(target, { values, at: 0, factor: 1 });
    }
  };
}

/** Rows times a matrix, which is held as a whole. */
export function multiplied(read: RowReader, right: TensorData): RowReader {
  const values = float64Of(right);
  const [between, columns] = right.shape as [number, number];
  const room = roomFor("fp64");
  return (target, row) => {
    const factors = room(target.length / columns * between);
    read(factors, row);
    target.fill(0);
    for (let o = 0; o < factors.length / between; o++) {
      const sums = target.subarray(o * columns, (o + 1) * columns);
      for (let m = 0; m < between; m++) {
        addTo(sums, { values, at: m * columns, factor: factors[o * between + m]! });
      }
    }
  };
}

/** Adds as many values as there are sums, from `at` on, times a factor. */
export function addTo(
  sums: Float64Array,
  { values, at, factor }: { values: Float64Array; at: number; factor: number },
): void {
  for (let k = 0, i = at; k < sums.length; k++, i++) sums[k]! += factor * values[i]!;
}
