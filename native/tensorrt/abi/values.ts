/**
 * TensorRT's value types as bytes (NvInferRuntimeBase.h and NvInfer.h): Dims, Weights, Permutation and arrays
 * of tensors. The writers reuse their buffers, which is safe because the library copies each during the call
 * that takes it; two arguments of one call need two writers.
 */
import { NativeError } from "../../error.ts";
import type { Pinned } from "../../memory/memory.ts";

/** Dims::MAX_DIMS. */
const MAX_DIMS = 8;

/** Dims64: int32 nbDims, 4 bytes of padding, int64 d[8]; 72 bytes. */
export const DIMS = { struct: ["i32", "i64", "i64", "i64", "i64", "i64", "i64", "i64", "i64"] } as const;

/** Weights: int32 type, 4 bytes of padding, void const* values, int64 count; 24 bytes, passed by value. */
export const WEIGHTS = { struct: ["i32", "pointer", "i64"] } as const;

const DIMS_BYTES = 8 + 8 * MAX_DIMS;

/** Returns a function that writes Dims into one buffer. Sizes: -1 stands for "at run time" or "infer". */
export function dimsWriter(): (dims: readonly number[]) => Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(DIMS_BYTES));
  const view = new DataView(bytes.buffer);
  return (dims) => {
    if (dims.length > MAX_DIMS) {
      throw new NativeError(
        `[${dims.join(", ")}] has ${dims.length} dimensions; TensorRT takes up to ${MAX_DIMS}`,
      );
    }
    view.setInt32(0, dims.length, true);
    for (let i = 0; i < MAX_DIMS; i++) {
      const size = i < dims.length ? dims[i]! : 0;
      if (!Number.isSafeInteger(size)) {
        throw new NativeError(`[${dims.join(", ")}]: ${size} is not an integer`);
      }
      // Two halves: a BigInt per size would be garbage at every call.
      view.setInt32(8 + 8 * i, size | 0, true);
      view.setInt32(12 + 8 * i, Math.floor(size / 0x1_0000_0000), true);
    }
    return bytes;
  };
}

/** Dims as the library returns it, by value; `undefined` for nbDims -1, its word for "invalid". */
export function dimsFrom(bytes: Uint8Array): number[] | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getInt32(0, true);
  if (count < 0 || count > MAX_DIMS) return undefined;
  return Array.from({ length: count }, (_, i) => Number(view.getBigInt64(8 + 8 * i, true)));
}

/** Returns a function that writes Weights into one buffer. `undefined` is "no weights" (count 0). */
export function weightsWriter(): (type: number, values?: Pinned, count?: number) => Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(24));
  const view = new DataView(bytes.buffer);
  return (type, values, count = 0) => {
    view.setInt32(0, type, true);
    view.setBigUint64(8, values?.address ?? 0n, true);
    view.setBigInt64(16, BigInt(count), true);
    return bytes;
  };
}

/** Permutation: int32 order[8], passed by pointer. */
export function permutationBytes(order: readonly number[]): Uint8Array<ArrayBuffer> {
  const isPermutation = order.length <= MAX_DIMS &&
    [...order].sort((a, b) => a - b).every((axis, i) => axis === i);
  if (!isPermutation) {
    throw new NativeError(`[${order.join(", ")}] is not an order of the axes 0 to ${order.length - 1}`);
  }
  const values = new Int32Array(new ArrayBuffer(4 * MAX_DIMS));
  values.set(order);
  return new Uint8Array(values.buffer);
}

/** `T* const*`: the addresses of several objects. */
export function pointerArray(pointers: readonly Deno.PointerValue[]): Uint8Array<ArrayBuffer> {
  const values = new BigUint64Array(new ArrayBuffer(8 * pointers.length));
  pointers.forEach((pointer, i) => values[i] = Deno.UnsafePointer.value(pointer));
  return new Uint8Array(values.buffer);
}
