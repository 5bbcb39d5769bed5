/** Readers of moved weights, in any element type: stored, parts, joined and transposed ones. */
import { elementCount, float64Reader, type TensorData } from "../../ir/data.ts";
import { ITEM_BYTES, type StorageType } from "../../ir/dtype.ts";
import { allocate } from "../file.ts";
import { rawView, roomFor, type RowReader, rowsOf } from "./pieces.ts";

/** Rows and columns that are transposed together, so that both sides stay in the cache. */
const BLOCK = 64;

/** What has its values in memory, or in a file. */
export function stored(data: TensorData, dtype: StorageType): RowReader {
  const { width } = rowsOf(data);
  const itemBytes = ITEM_BYTES[data.dtype];
  const read = bytesFrom(data);
  return (target, row) => {
    const bytes = read(row * width * itemBytes, target.length * itemBytes);
    if (dtype === data.dtype) target.set(rawView(bytes, dtype));
    else float64Reader(bytes, data.dtype)(target, 0);
  };
}

/** Of a file at a time. */
const WINDOW_BYTES = 2 ** 20;

/**
 * Bytes from `begin` on: of a large tensor in a file out of a part of it, which goes along with the reader.
 */
function bytesFrom(data: TensorData): (begin: number, byteLength: number) => Uint8Array {
  const whole = byteLengthOf(data);
  if (data.readInto === undefined || whole <= WINDOW_BYTES) {
    const bytes = data.bytes();
    return (begin, byteLength) => bytes.subarray(begin, begin + byteLength);
  }
  let [start, room, window] = [0, new Uint8Array(0), new Uint8Array(0)];
  return (begin, byteLength) => {
    if (begin < start || begin + byteLength > start + window.length) {
      start = begin;
      const wanted = Math.min(Math.max(byteLength, WINDOW_BYTES), whole - begin);
      if (room.length < wanted) room = allocate(wanted, data.origin);
      window = room.subarray(0, wanted);
      data.readInto!(window, begin);
    }
    return window.subarray(begin - start, begin - start + byteLength);
  };
}

/** Entries from `start` on of an axis behind the rows. */
export function sliced(
  read: RowReader,
  { of, to, axis, start }: { of: TensorData; to: TensorData; axis: number; start: number },
  dtype: StorageType,
): RowReader {
  const inner = elementCount(of.shape.slice(axis + 1));
  const [whole, kept] = [of.shape[axis]! * inner, to.shape[axis]! * inner];
  const room = roomFor(dtype);
  return (target, row) => {
    const values = room(target.length / kept * whole);
    read(values, row);
    for (let from = start * inner, to = 0; to < target.length; from += whole, to += kept) {
      target.set(values.subarray(from, from + kept), to);
    }
  };
}

/** Parts one below the other, each opened when its turn comes. */
export function stacked(parts: readonly TensorData[], open: (part: TensorData) => RowReader): RowReader {
  const { width } = rowsOf(parts[0]!);
  const ends: number[] = [];
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + rowsOf(part).rows);
  let [current, read]: [number, RowReader] = [-1, () => {}];
  return (target, row) => {
    for (let at = 0; at < target.length;) {
      const first = row + at / width;
      const index = ends.findIndex((end) => first < end);
      if (index !== current) [current, read] = [index, open(parts[index]!)];
      const end = Math.min(target.length, at + (ends[index]! - first) * width);
      read(target.subarray(at, end), first - (ends[index - 1] ?? 0));
      at = end;
    }
  };
}

/** Parts one behind the other along an axis behind the rows. */
export function beside(
  parts: readonly { readonly data: TensorData; readonly read: RowReader }[],
  axis: number,
  dtype: StorageType,
): RowReader {
  const sized = parts.map(({ data, read }) => ({
    read,
    size: elementCount(data.shape.slice(axis)),
    room: roomFor(dtype),
  }));
  const whole = sized.reduce((sum, { size }) => sum + size, 0);
  return (target, row) => {
    let offset = 0;
    for (const { read, size, room } of sized) {
      const values = room(target.length / whole * size);
      read(values, row);
      for (let from = 0, to = offset; to < target.length; from += size, to += whole) {
        target.set(values.subarray(from, from + size), to);
      }
      offset += size;
    }
  };
}

/**
 * A matrix with its axes swapped, which is held as a whole until its last row has been read: left to the
 * collector of garbage, several that went before would be in memory beside it.
 */
export function transposed(of: TensorData, dtype: StorageType): RowReader {
  const [columns, rows] = of.shape as [number, number];
  const room = roomFor(of.dtype);
  let held: Whole | null = null;
  return (target, row) => {
    const { bytes, release } = held ??= wholeOf(of);
    const source = rawView(bytes, of.dtype);
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
    if (end < rows) return;
    held = null;
    release();
  };
}

interface Whole {
  readonly bytes: Uint8Array;
  /** Gives their memory back where nobody else has them. */
  readonly release: () => void;
}

function wholeOf(data: TensorData): Whole {
  if (data.readInto === undefined) return { bytes: data.bytes(), release: () => {} };
  const bytes = allocate(byteLengthOf(data), data.origin);
  data.readInto(bytes, 0);
  return { bytes, release: () => bytes.buffer.transfer(0) };
}

const bytesOf = (array: Float64Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

const byteLengthOf = ({ shape, dtype }: TensorData) => elementCount(shape) * ITEM_BYTES[dtype];
