/** Readers of moved weights, in any element type: stored, parts, joined and transposed ones. */
import { elementCount, float64Reader, type TensorData } from "../../ir/data.ts";
import type { StorageType } from "../../ir/dtype.ts";
import { rawView, roomFor, type RowReader, rowsOf } from "./pieces.ts";

/** Rows and columns that are transposed together, so that both sides stay in the cache. */
const BLOCK = 64;

/** What has its values in memory, or in a file. */
export function stored(data: TensorData, dtype: StorageType): RowReader {
  const bytes = data.bytes();
  const { width } = rowsOf(data);
  if (dtype !== data.dtype) {
    const read = float64Reader(bytes, data.dtype);
    return (target, row) => read(target, row * width);
  }
  const values = rawView(bytes, dtype);
  return (target, row) => target.set(values.subarray(row * width, row * width + target.length));
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

/** A matrix with its axes swapped, which is held as a whole. */
export function transposed(of: TensorData, dtype: StorageType): RowReader {
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
