/**
 * The values of derived weights, some rows at a time: what a weight is made of is read row by row, combined in float64 and
 * rounded once, into the element type that is asked for. However deep a weight is derived, each row of what it comes from
 * passes through a core's cache once, and nothing as large as the weight is made beside the result; only a matrix on the
 * right of a product is held as a whole. Weights that are only moved about are not converted.
 */
import {
  assertFits,
  bytesFromNumbers,
  elementCount,
  float64Of,
  float64Reader,
  float64Writer,
  type TensorData,
  typedView,
} from "../../ir/data.ts";
import { ITEM_BYTES, type StorageType } from "../../ir/dtype.ts";
import { allocate } from "../file.ts";
import {
  type Affine,
  type Derivation,
  derivationOf,
  type Derived,
  type Fold,
  LARGEST_INT8,
} from "./derivation.ts";

/**
 * Fills an array with as many rows as it holds, from `row` on; a row is all that has one place on axis 0, and of a vector
 * one element.
 */
type RowReader = (target: Float64Array, row: number) => void;

/** Elements that are read together, as long as a row is no longer: few enough to stay in a core's cache. */
const PIECE = 2 ** 15;
/** Rows and columns that are transposed together, so that both sides stay in the cache. */
const BLOCK = 64;

/** Rows, and elements of a row. */
interface Size {
  readonly rows: number;
  readonly width: number;
}

function rowsOf({ shape }: Pick<TensorData, "shape">): Size {
  const [rows = 1, ...inner] = shape;
  return { rows, width: elementCount(inner) };
}

/** The bytes of a derived weight as `dtype`, rounded once. */
export function evaluate(data: Derived, dtype: StorageType): Uint8Array {
  const { rows, width } = rowsOf(data);
  const isHeldSo = dtype === data.dtype;
  if (isHeldSo && data.derivation.kind === "computed") return computed(data, data.derivation);
  const bytes = allocate(rows * width * ITEM_BYTES[dtype], data.origin);
  if (isHeldSo) {
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

function computed({ dtype }: Derived, { from, compute }: Kind<"computed">): Uint8Array {
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

/** Some rows together, in an array that the next are put into. */
function eachPiece(size: Size, read: RowReader, take: (values: Float64Array, first: number) => void): void {
  const room = roomFor("fp64");
  forPieces(size, (first, count) => {
    const values = room(count * size.width);
    read(values, first);
    take(values, first);
  });
}

function forPieces({ rows, width }: Size, take: (first: number, count: number) => void): void {
  const count = Math.max(1, Math.floor(PIECE / Math.max(1, width)));
  for (let first = 0; first < rows; first += count) take(first, Math.min(count, rows - first));
}

/**
 * Elements as they are moved about without being looked at; two bytes of a float are a whole number, which moves faster.
 * Typed as what computations read, since all that is done to it are copies.
 */
function rawView(bytes: Uint8Array, dtype: StorageType): Float64Array {
  return typedView(bytes, dtype === "fp16" ? "bf16" : dtype) as Float64Array;
}

/**
 * Rows of a weight, in float64 or, undecoded, in the type that it is held in. What it comes from is read when this is called,
 * and of parts one below the other when their turn comes.
 */
function rowReader(data: TensorData, dtype: StorageType): RowReader {
  const derivation = derivationOf(data);
  switch (derivation?.kind) {
    case "slice":
      return sliced(data, derivation, dtype);
    case "concat":
      return derivation.axis === 0 ? stacked(derivation.parts, dtype) : beside(data, derivation, dtype);
    case "fill": {
      const [value] = rawView(bytesFromNumbers(Float64Array.of(derivation.value), dtype), dtype);
      return (target) => target.fill(value!);
    }
    case "reshape":
      return rowReader(derivation.of, dtype);
    case "transpose":
      return transposed(derivation.of, dtype);
    case "affine":
      return mapped(derivation.of, derivation.affine);
    case "sum":
      return summed(derivation.parts);
    case "product":
      return multiplied(derivation.left, derivation.right);
    case "fold":
      return derivation.part === "weight" ? foldedWeight(derivation.fold) : foldedBias(derivation.fold);
    case "quantized":
      return quantized(derivation);
    default:
      return stored(data, dtype);
  }
}

/** What has its values in memory, or in a file. */
function stored(data: TensorData, dtype: StorageType): RowReader {
  const bytes = data.bytes();
  const { width } = rowsOf(data);
  if (dtype !== data.dtype) {
    const read = float64Reader(bytes, data.dtype);
    return (target, row) => read(target, row * width);
  }
  const values = rawView(bytes, dtype);
  return (target, row) => target.set(values.subarray(row * width, row * width + target.length));
}

type Kind<K extends Derivation["kind"]> = Extract<Derivation, { kind: K }>;

function sliced(data: TensorData, { of, axis, start }: Kind<"slice">, dtype: StorageType): RowReader {
  const read = rowReader(of, dtype);
  if (axis === 0) return (target, row) => read(target, start + row);
  const inner = elementCount(of.shape.slice(axis + 1));
  const [whole, kept] = [of.shape[axis]! * inner, data.shape[axis]! * inner];
  const room = roomFor(dtype);
  return (target, row) => {
    const values = room(target.length / kept * whole);
    read(values, row);
    for (let from = start * inner, to = 0; to < target.length; from += whole, to += kept) {
      target.set(values.subarray(from, from + kept), to);
    }
  };
}

function stacked(parts: readonly TensorData[], dtype: StorageType): RowReader {
  const ends: number[] = [];
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + rowsOf(part).rows);
  let [current, read]: [number, RowReader] = [-1, () => {}];
  return (target, row) => {
    const width = rowsOf(parts[0]!).width;
    for (let at = 0; at < target.length;) {
      const first = row + at / width;
      const index = ends.findIndex((end) => first < end);
      if (index !== current) [current, read] = [index, rowReader(parts[index]!, dtype)];
      const end = Math.min(target.length, at + (ends[index]! - first) * width);
      read(target.subarray(at, end), first - (ends[index - 1] ?? 0));
      at = end;
    }
  };
}

function beside(data: TensorData, { parts, axis }: Kind<"concat">, dtype: StorageType): RowReader {
  const entry = (part: TensorData) => elementCount(part.shape.slice(axis));
  const readers = parts.map((part) => ({
    read: rowReader(part, dtype),
    size: entry(part),
    room: roomFor(dtype),
  }));
  const whole = entry(data);
  return (target, row) => {
    let offset = 0;
    for (const { read, size, room } of readers) {
      const values = room(target.length / whole * size);
      read(values, row);
      for (let from = 0, to = offset; to < target.length; from += size, to += whole) {
        target.set(values.subarray(from, from + size), to);
      }
      offset += size;
    }
  };
}

function transposed(of: TensorData, dtype: StorageType): RowReader {
  const [columns, rows] = of.shape as [number, number];
  const source = rawView(of.bytes(), of.dtype);
  const room = roomFor(of.dtype);
  return (target, row) => {
    const raw = dtype === of.dtype ? target : room(target.length);
    const end = row + target.length / columns;
    for (let left = 0; left < columns; left += BLOCK) {
      const right = Math.min(left + BLOCK, columns);
      for (let top = row; top < end; top += BLOCK) {
        const bottom = Math.min(top + BLOCK, end);
        for (let c = left; c < right; c++) {
          for (let r = top; r < bottom; r++) raw[(r - row) * columns + c] = source[c * rows + r]!;
        }
      }
    }
    if (raw !== target) float64Reader(bytesOf(raw), of.dtype)(target, 0);
  };
}

const bytesOf = (array: Float64Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** An array that is kept for the next piece, which is as long or the last one. */
function roomFor(dtype: StorageType): (length: number) => Float64Array {
  let room = rawView(new Uint8Array(0), dtype);
  return (length) => {
    if (room.length < length) room = rawView(new Uint8Array(length * ITEM_BYTES[dtype]), dtype);
    return room.subarray(0, length);
  };
}

function mapped(of: TensorData, affine: Affine): RowReader {
  return then(affine, of, rowReader(of, "fp64"));
}

/** Rows with an affine on them; `groups` are those that a convolution's channels are in. */
function then(affine: Affine, of: TensorData, read: RowReader, groups = 1): RowReader {
  const map = affine.axis === 0 ? overRows(affine, rowsOf(of), read) : withinRows(affine, of, groups);
  return (target, row) => {
    read(target, row);
    map(target, row);
  };
}

/** Changes rows in place, of which the first is the given one. */
type RowMap = (values: Float64Array, row: number) => void;

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
        if (about !== null) centre(values.subarray(block, block + length), { inner, about });
        if (factors) { for (let k = 0; k < length; k++) values[block + k]! *= factors[first + k]!; }
        if (terms) { for (let k = 0; k < length; k++) values[block + k]! += terms[first + k]!; }
      }
    }
  };
}

/** Where the channels of an output's group begin. */
const groupStart = (output: number, { groups, rows, width }: Size & { readonly groups: number }) =>
  Math.floor(output * groups / rows) * width;

/** Takes the mean over the channels, or the last, away from each of the `inner` elements of a kernel; a linear's has one. */
function centre(block: Float64Array, { inner, about }: { inner: number; about: "mean" | "last" }): void {
  for (let i = 0; i < inner; i++) {
    let sum = 0;
    for (let k = i; k < block.length; k += inner) sum += block[k]!;
    const centre = about === "mean" ? sum * inner / block.length : block[block.length - inner + i]!;
    for (let k = i; k < block.length; k += inner) block[k]! -= centre;
  }
}

/** Each entry `count` times, for the elements of a kernel. */
function repeated(vector: Float64Array, count: number): Float64Array {
  return count === 1
    ? vector
    : new Float64Array(vector.length * count).map((_, k) => vector[Math.floor(k / count)]!);
}

function summed(parts: readonly TensorData[]): RowReader {
  const [first, ...others] = parts.map((part) => rowReader(part, "fp64"));
  const room = roomFor("fp64");
  return (target, row) => {
    first!(target, row);
    for (const read of others) {
      const values = room(target.length);
      read(values, row);
      for (let i = 0; i < values.length; i++) target[i]! += values[i]!;
    }
  };
}

function multiplied(left: TensorData, right: TensorData): RowReader {
  const [read, values] = [rowReader(left, "fp64"), float64Of(right)];
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
function addTo(
  sums: Float64Array,
  { values, at, factor }: { values: Float64Array; at: number; factor: number },
): void {
  for (let k = 0, i = at; k < sums.length; k++, i++) sums[k]! += factor * values[i]!;
}

function foldedWeight(fold: Fold): RowReader {
  const { weight, columns, rows, groups } = fold;
  const images = imagesOf(fold);
  const read = rowReader(weight, "fp64");
  let all: RowReader = (target, row) => {
    read(target, row);
    images(target, row);
  };
  if (columns !== null) {
    // A row times diag(s) (I - 11^T / C): what comes first on channels comes last here.
    all = then({ ...columns, shift: null, about: null }, weight, all, groups);
    all = then({ ...columns, shift: null, scale: null }, weight, all);
  }
  if (rows !== null) all = then({ ...rows, shift: null }, weight, all);
  return all;
}

/** Notes `W t` of rows of the weight that come by. */
function imagesOf({ weight, columns, groups, images }: Fold): RowMap {
  if (columns?.shift == null) return () => {};
  const { rows, width } = rowsOf(weight);
  const shift = repeated(float64Of(columns.shift), elementCount(weight.shape.slice(2)));
  return (values, row) => {
    for (let at = 0, o = row; at < values.length; at += width, o++) {
      if (!Number.isNaN(images[o])) continue;
      const first = groupStart(o, { groups, rows, width });
      let sum = 0;
      for (let k = 0; k < width; k++) sum += values[at + k]! * shift[first + k]!;
      images[o] = sum;
    }
  };
}

function foldedBias(fold: Fold): RowReader {
  const { weight, bias, rows } = fold;
  const own = bias && rowReader(bias, "fp64");
  const images = imagesIn(fold);
  const sums: RowReader = (target, row) => {
    if (own === null) target.fill(0);
    else own(target, row);
    const values = images(row, target.length);
    values?.forEach((value, i) => target[i]! += value);
  };
  return rows === null ? sums : then(rows, { ...weight, shape: [weight.shape[0]!] }, sums);
}

/** `W t` of some outputs, from the rows of the weight where they are not known yet; null where there is no shift. */
function imagesIn(fold: Fold): (first: number, count: number) => Float64Array | null {
  const { weight, columns, images } = fold;
  let read: RowReader | null = null;
  return (first, count) => {
    if (columns?.shift == null) return null;
    const known = images.subarray(first, first + count);
    if (known.some(Number.isNaN)) {
      read ??= rowReader(weight, "fp64");
      const note = imagesOf(fold);
      eachPiece(
        { rows: count, width: rowsOf(weight).width },
        (target, row) => read!(target, first + row),
        (values, row) => note(values, first + row),
      );
    }
    return known;
  };
}

function quantized({ of, steps, mostTogether }: Kind<"quantized">): RowReader {
  const { width } = rowsOf(of);
  const read = rowReader(of, "fp64");
  const room = roomFor("fp64");
  return (target, row) => {
    const values = room(target.length);
    read(values, row);
    for (let i = 0; i < values.length; i++) {
      const factor = 1 / steps[row + Math.floor(i / width)]!;
      let q = Math.max(-LARGEST_INT8, Math.min(LARGEST_INT8, Math.round(values[i]! * factor)));
      // Both were half a step and rounded away from zero; back, the second is half a step off still.
      if (i % width % 2 === 1 && Math.abs(q + target[i - 1]!) > mostTogether) q -= Math.sign(q);
      target[i] = q;
    }
  };
}
