/**
 * Constants made of other constants by moving bytes: matrices transposed, tensors one below the other or with more beside
 * them. Read when asked for, in the element type they are held in or, stacked, in another one; nothing is computed.
 */
import { bytesAs, bytesFromNumbers, elementCount, float64Of, type TensorData, typedView } from "./data.ts";
import { ITEM_BYTES, type StorageType } from "./dtype.ts";

/** Rows and columns that are transposed together, so that both sides stay in a core's cache. */
const BLOCK = 64;

/** A matrix with its axes swapped. */
export function transposedData(data: TensorData): TensorData {
  const [rows, columns] = data.shape as [number, number];
  return {
    dtype: data.dtype,
    shape: [columns, rows],
    origin: data.origin,
    bytes: () => {
      const bytes = new Uint8Array(rows * columns * ITEM_BYTES[data.dtype]);
      transpose(data, { rows, columns, bytes });
      return bytes;
    },
  };
}

function transpose(
  data: TensorData,
  { rows, columns, bytes }: { rows: number; columns: number; bytes: Uint8Array },
): void {
  const source = typedView(data.bytes(), data.dtype) as Float32Array;
  const target = typedView(bytes, data.dtype) as Float32Array;
  for (let top = 0; top < rows; top += BLOCK) {
    const bottom = Math.min(top + BLOCK, rows);
    for (let left = 0; left < columns; left += BLOCK) {
      const right = Math.min(left + BLOCK, columns);
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) {
          target[column * rows + row] = source[row * columns + column]!;
        }
      }
    }
  }
}

/** Data one below the other along axis 0, as `dtype`. */
export function stackedData(parts: readonly TensorData[], dtype: StorageType): TensorData {
  const shape = [parts.reduce((sum, part) => sum + part.shape[0]!, 0), ...parts[0]!.shape.slice(1)];
  return {
    dtype,
    shape,
    origin: parts.map(({ origin }) => origin).join(" above "),
    bytes: () => {
      const whole = new Uint8Array(elementCount(shape) * ITEM_BYTES[dtype]);
      let offset = 0;
      for (const part of parts) {
        const bytes = bytesAs(part, dtype);
        whole.set(bytes, offset);
        offset += bytes.length;
      }
      return whole;
    },
  };
}

/** `size` neighbouring entries along axis 0, from `start` on. */
export function rowsOfData(data: TensorData, { start, size }: { start: number; size: number }): TensorData {
  const rowBytes = elementCount(data.shape.slice(1)) * ITEM_BYTES[data.dtype];
  return {
    dtype: data.dtype,
    shape: [size, ...data.shape.slice(1)],
    origin: `rows ${start} to ${start + size - 1} of ${data.origin}`,
    // A view: what reads it looks at alignment itself where rows are no multiple of 8 bytes.
    bytes: () => data.bytes().subarray(start * rowBytes, (start + size) * rowBytes),
  };
}

/** A tensor with `extra` entries behind its own along an axis: the first of them all `first`, the others zeros. */
export function paddedData(
  data: TensorData,
  { axis, extra, first = 0 }: { axis: number; extra: number; first?: number },
): TensorData {
  const [rows, own, inner] = [data.shape.slice(0, axis), data.shape[axis]!, data.shape.slice(axis + 1)];
  return {
    dtype: data.dtype,
    shape: [...rows, own + extra, ...inner],
    origin: data.origin,
    bytes: () => {
      const source = data.bytes();
      const entry = elementCount(inner) * ITEM_BYTES[data.dtype];
      const [from, to] = [own * entry, (own + extra) * entry];
      const behind = new Uint8Array(extra * entry);
      behind.set(bytesFromNumbers(new Float64Array(elementCount(inner)).fill(first), data.dtype));
      const bytes = new Uint8Array(elementCount(rows) * to);
      for (let row = 0; row < elementCount(rows); row++) {
        bytes.set(source.subarray(row * from, (row + 1) * from), row * to);
        bytes.set(behind, row * to + from);
      }
      return bytes;
    },
  };
}

/** A matrix with other values in one column, held in float64. */
export function withColumn(data: TensorData, column: number, values: () => Float64Array): TensorData {
  const [rows, columns] = data.shape as [number, number];
  return {
    dtype: "fp64",
    shape: [rows, columns],
    origin: data.origin,
    bytes: () => {
      const result = float64Of(data).slice();
      values().forEach((value, row) => result[row * columns + column] = value);
      return new Uint8Array(result.buffer);
    },
  };
}
