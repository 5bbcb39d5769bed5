/** The base of row readers: rows are read a piece at a time, into arrays that the next piece reuses. */
import { elementCount, type TensorData, typedView } from "../../ir/data.ts";
import { ITEM_BYTES, type StorageType } from "../../ir/dtype.ts";

/** Fills an array with as many rows as it holds, from `row` on; a row is one place on axis 0. */
export type RowReader = (target: Float64Array, row: number) => void;

/** Elements that are read together, as long as a row is no longer: few enough to stay in a core's cache. */
const PIECE = 2 ** 15;

/** Rows, and elements of a row. */
export interface Size {
  readonly rows: number;
  readonly width: number;
}

export function rowsOf({ shape }: Pick<TensorData, "shape">): Size {
  const [rows = 1, ...inner] = shape;
  return { rows, width: elementCount(inner) };
}

/** Some rows together, in an array that the next are put into. */
export function eachPiece(
  size: Size,
  read: RowReader,
  take: (values: Float64Array, first: number) => void,
): void {
  const room = roomFor("fp64");
  forPieces(size, (first, count) => {
    const values = room(count * size.width);
    read(values, first);
    take(values, first);
  });
}

export function forPieces({ rows, width }: Size, take: (first: number, count: number) => void): void {
  const count = Math.max(1, Math.floor(PIECE / Math.max(1, width)));
  for (let first = 0; first < rows; first += count) take(first, Math.min(count, rows - first));
}

/**
 * Elements as they are moved about without being looked at; two bytes of a float are a whole number, which
 * moves faster. Typed as what computations read, since all that is done to it are copies.
 */
export function rawView(bytes: Uint8Array, dtype: StorageType): Float64Array {
  return typedView(bytes, dtype === "fp16" ? "bf16" : dtype) as Float64Array;
}

/** An array that is kept for the next piece, which is as long or the last one. */
export function roomFor(dtype: StorageType): (length: number) => Float64Array {
  let room = rawView(new Uint8Array(0), dtype);
  return (length) => {
    if (room.length < length) room = rawView(new Uint8Array(length * ITEM_BYTES[dtype]), dtype);
    return room.subarray(0, length);
  };
}
