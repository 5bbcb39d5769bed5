/**
 * The values of a constant: where its bytes come from and how they are read. Nothing is read before `bytes()` is
 * called, so a graph over a 5 GB checkpoint costs no 5 GB; conversion to another element type rounds once, to nearest
 * even, from whatever precision the values are held in.
 */
import { UnfoldError } from "../errors.ts";
import { ITEM_BYTES, type StorageType } from "./dtype.ts";

export interface TensorData {
  readonly dtype: StorageType;
  readonly shape: readonly number[];
  /** For messages: the file and tensor name, or what computed the values. */
  readonly origin: string;
  /**
   * The elements, row-major, little-endian, `ITEM_BYTES[dtype]` each, at an address that is a multiple of 8. May read
   * from disk at every call: keep the result rather than calling twice. The caller must not write to it.
   */
  bytes(): Uint8Array;
}

export type NumberArray =
  | Float64Array
  | Float32Array
  | Float16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array;

/** Number of elements of a fully known shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Values already in memory. The array is held, not copied. */
export function heldData(
  shape: readonly number[],
  array: Float64Array | Float32Array | Float16Array | Int32Array | BigInt64Array,
  origin: string,
): TensorData {
  if (array.length !== elementCount(shape)) {
    throw new RangeError(`${origin}: ${array.length} values for the shape [${shape.join(", ")}]`);
  }
  const dtype: StorageType = array instanceof Float64Array
    ? "fp64"
    : array instanceof Float32Array
    ? "fp32"
    : array instanceof Float16Array
    ? "fp16"
    : array instanceof Int32Array
    ? "int32"
    : "int64";
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return { dtype, shape, origin, bytes: () => bytes };
}

/** bfloat16 bits of a float64, rounded to nearest even in one step (through float32 it could round twice). */
export function bf16FromNumber(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  SCRATCH_F32[0] = value;
  let bits = SCRATCH_U32[0]!;
  // Rounding to float32 first is harmless unless it landed exactly on a tie between two bfloat16 values.
  if ((bits & 0xffff) === 0x8000 && SCRATCH_F32[0] !== value && Number.isFinite(SCRATCH_F32[0])) {
    bits += Math.abs(value) > Math.abs(SCRATCH_F32[0]) ? 1 : -1;
  }
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

const SCRATCH_F32 = new Float32Array(1);
const SCRATCH_U32 = new Uint32Array(SCRATCH_F32.buffer);

/** Typed view over bytes of `dtype`, without a copy where the address allows; bfloat16 and bool as their raw bits. */
export function typedView(bytes: Uint8Array, dtype: StorageType): NumberArray | Uint16Array {
  const size = ITEM_BYTES[dtype];
  if (bytes.byteOffset % size !== 0) bytes = bytes.slice();
  const length = bytes.byteLength / size;
  const { buffer, byteOffset } = bytes;
  switch (dtype) {
    case "fp64":
      return new Float64Array(buffer, byteOffset, length);
    case "fp32":
      return new Float32Array(buffer, byteOffset, length);
    case "fp16":
      return new Float16Array(buffer, byteOffset, length);
    case "bf16":
      return new Uint16Array(buffer, byteOffset, length);
    case "int32":
      return new Int32Array(buffer, byteOffset, length);
    case "int64":
      return new BigInt64Array(buffer, byteOffset, length);
    case "bool":
      return bytes;
  }
}

/** Values as float64: exact for every stored type except int64 beyond 2^53. */
export function float64Of(data: TensorData): Float64Array {
  return float64FromBytes(data.bytes(), data.dtype);
}

export function float64FromBytes(bytes: Uint8Array, dtype: StorageType): Float64Array {
  const view = typedView(bytes, dtype);
  if (dtype === "bf16") {
    const wide = new Uint32Array(view.length);
    for (let i = 0; i < view.length; i++) wide[i] = (view as Uint16Array)[i]! << 16;
    return Float64Array.from(new Float32Array(wide.buffer));
  }
  if (view instanceof BigInt64Array) return Float64Array.from(view, Number);
  return view instanceof Float64Array ? view : Float64Array.from(view);
}

/**
 * The bytes of `data` in another element type; no copy when it is the same one. Rounds once.
 *
 * @throws {UnfoldError} a finite value is too large for the type
 */
export function bytesAs(data: TensorData, dtype: StorageType): Uint8Array {
  const bytes = data.bytes();
  if (data.dtype === dtype) return bytes;
  const source = numbersFromBytes(bytes, data.dtype);
  const result = bytesFromNumbers(source, dtype);
  assertFits(result, dtype, { origin: data.origin, valueAt: (i) => source[i]! });
  return result;
}

/** Bits of the exponent, all of them set in infinities and NaN only. */
const EXPONENT = { fp32: 0x7f80_0000, fp16: 0x7c00, bf16: 0x7f80 } as const;

/** Throws where rounding to `dtype` made a finite value infinite: a mask of -1e9, say, in fp16. */
export function assertFits(
  bytes: Uint8Array,
  dtype: StorageType,
  { origin, valueAt }: { origin: string; valueAt: (index: number) => number },
): void {
  if (dtype !== "fp32" && dtype !== "fp16" && dtype !== "bf16") return;
  const exponent = EXPONENT[dtype];
  const bits = dtype === "fp32"
    ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    : new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i]! & exponent) !== exponent || !Number.isFinite(valueAt(i))) continue;
    throw new UnfoldError(
      `${origin}: element ${i}, ${
        valueAt(i)
      }, is too large for ${dtype}; use a smaller value or a wider precision`,
    );
  }
}

/** Elements for a loop: the stored array itself where JavaScript has its type, else widened to float64. */
export function numbersFromBytes(
  bytes: Uint8Array,
  dtype: StorageType,
): Float64Array | Float32Array | Float16Array | Int32Array {
  return dtype === "fp32" || dtype === "fp16" || dtype === "int32"
    ? typedView(bytes, dtype) as Float32Array | Float16Array | Int32Array
    : float64FromBytes(bytes, dtype);
}

/** Numbers rounded once into the bytes of `dtype`. */
export function bytesFromNumbers(
  source: Float64Array | Float32Array | Float16Array | Int32Array,
  dtype: StorageType,
): Uint8Array {
  const result = new Uint8Array(source.length * ITEM_BYTES[dtype]);
  const view = typedView(result, dtype);
  if (dtype === "bf16") {
    for (let i = 0; i < source.length; i++) view[i] = bf16FromNumber(source[i]!);
  } else if (view instanceof BigInt64Array) {
    for (let i = 0; i < source.length; i++) view[i] = BigInt(source[i]!);
  } else if (dtype === "bool") {
    for (let i = 0; i < source.length; i++) view[i] = source[i] !== 0 ? 1 : 0;
  } else {
    (view as Float64Array).set(source);
  }
  return result;
}
