/**
 * The values of a constant: where its bytes come from and how they are read. Nothing is read before `bytes()`
 * is called, so a graph over a 5 GB checkpoint costs no 5 GB; conversion to another element type rounds once,
 * to nearest even, from whatever precision the values are held in.
 */
import { UnfoldError } from "../errors.ts";
import { ITEM_BYTES, type StorageType } from "./dtype.ts";
import { e2m1FromNumber, e2m1Value } from "./float4.ts";
import { e4m3FromNumber, halvesOf } from "./float8.ts";

/** The values of a weight, which are read when they are asked for. */
export interface TensorData {
  /** The element type they are held in. */
  readonly dtype: StorageType;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** For messages: the file and tensor name, or what computed the values. */
  readonly origin: string;
  /**
   * The elements, row-major, little-endian, `ITEM_BYTES[dtype]` each, at an address that is a multiple of 8.
   * May read from disk at every call: keep the result rather than calling twice. The caller must not write to
   * it.
   */
  bytes(): Uint8Array;
  /**
   * Reads bytes from `begin` on into `target`, where that takes no reading of the others. A copy of these
   * properties with other `bytes` leaves it out.
   */
  readInto?(target: Uint8Array<ArrayBuffer>, begin: number): void;
  /** The elements rounded once to `dtype`, where that can be made; else `bytes()` are converted. */
  bytesAs?(dtype: StorageType): Uint8Array;
}

export type NumberArray =
  | Float64Array
  | Float32Array
  | Float16Array
  | Int8Array
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

/** Of the decimals that are this float32, the shortest: the 1e-6 of a network rather than 9.99999997e-7. */
export function shortest(float: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const number = Number(float.toPrecision(digits));
    if (Math.fround(number) === float) return number;
  }
  return float;
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

/** A view over bytes of `dtype`, without a copy if aligned; bfloat16, fp8, fp4, int4, bool as raw bits. */
export function typedView(bytes: Uint8Array, dtype: StorageType): NumberArray | Uint16Array {
  const size = ITEM_BYTES[dtype];
  if (bytes.byteOffset % Math.max(1, size) !== 0) bytes = bytes.slice();
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
    case "int8":
      return new Int8Array(buffer, byteOffset, length);
    case "uint8":
      return bytes;
    case "int32":
      return new Int32Array(buffer, byteOffset, length);
    case "int64":
      return new BigInt64Array(buffer, byteOffset, length);
    case "bool":
    case "fp8":
    case "fp4":
    case "int4":
      return bytes;
  }
}

/** Values as float64: exact for every stored type except int64 beyond 2^53. */
export function float64Of(data: TensorData): Float64Array {
  return float64FromBytes(data.bytes(), data.dtype);
}

export function float64FromBytes(bytes: Uint8Array, dtype: StorageType): Float64Array {
  const numbers = numbersFromBytes(bytes, dtype);
  if (numbers instanceof Float64Array) return numbers;
  const wide = new Float64Array(numbers.length);
  wide.set(numbers);
  return wide;
}

/** Elements for a loop: the stored array if JavaScript has its type, else the narrowest that holds them. */
export function numbersFromBytes(
  bytes: Uint8Array,
  dtype: StorageType,
): Float64Array | Float32Array | Float16Array | Int8Array | Int32Array | Uint8Array {
  if (dtype === "fp8") return typedView(halvesOf(bytes, "E4M3"), "fp16") as Float16Array;
  if (dtype === "fp4") {
    return Float32Array.from(
      { length: 2 * bytes.length },
      (_, i) => e2m1Value(bytes[i >> 1]! >> 4 * (i % 2)),
    );
  }
  if (dtype === "int4") return Int8Array.from({ length: 2 * bytes.length }, (_, i) => nibble(bytes, i));
  const view = typedView(bytes, dtype);
  if (view instanceof BigInt64Array) return Float64Array.from(view, Number);
  if (!(view instanceof Uint16Array)) return view;
  const wide = new Uint32Array(view.length);
  for (let i = 0; i < view.length; i++) wide[i] = view[i]! << 16;
  return new Float32Array(wide.buffer);
}

/** Element `i` of int4: four bits, the upper one a sign. */
const nibble = (bytes: Uint8Array, i: number) => bytes[i >> 1]! << (i % 2 === 0 ? 28 : 24) >> 28;

/** Fills an array with as many consecutive elements, from index `start` on. */
export type Float64Reader = (target: Float64Array, start: number) => void;
/** Rounds an array once into consecutive elements, from index `start` on; overflow becomes infinite. */
export type Float64Writer = (source: Float64Array, start: number) => void;

/** Elements as float64 a piece at a time, so that no tensor is held in eight bytes an element. */
export function float64Reader(bytes: Uint8Array, dtype: StorageType): Float64Reader {
  const size = ITEM_BYTES[dtype];
  return (target, start) =>
    target.set(numbersFromBytes(bytes.subarray(start * size, (start + target.length) * size), dtype));
}

/** The way back. */
export function float64Writer(bytes: Uint8Array, dtype: StorageType): Float64Writer {
  const size = ITEM_BYTES[dtype];
  return (source, start) =>
    roundInto(bytes.subarray(start * size, (start + source.length) * size), source, dtype);
}

/** Elements converted at a time: few enough that what stands between two types stays in a core's cache. */
const PIECE = 2 ** 14;

/**
 * The bytes of `data` in another element type; no copy when it is the same one. Rounds once.
 *
 * @throws {UnfoldError} a finite value is too large for the type
 */
export function bytesAs(data: TensorData, dtype: StorageType): Uint8Array {
  if (data.dtype !== dtype && data.bytesAs !== undefined) return data.bytesAs(dtype);
  const bytes = data.bytes();
  if (data.dtype === dtype) return bytes;
  const [from, to] = [ITEM_BYTES[data.dtype], ITEM_BYTES[dtype]];
  const count = bytes.length / from;
  const numbers = (start: number, end: number) =>
    numbersFromBytes(bytes.subarray(start * from, end * from), data.dtype);
  const result = new Uint8Array(count * to);
  for (let start = 0; start < count; start += PIECE) {
    const end = Math.min(start + PIECE, count);
    roundInto(result.subarray(start * to, end * to), numbers(start, end), dtype);
  }
  assertFits(result, dtype, { origin: data.origin, valueAt: (i) => numbers(i, i + 1)[0]! });
  return result;
}

/** Bits of the exponent, all of them set in infinities and NaN only, of one element and of all in 32 bits. */
const EXPONENT = {
  fp32: { element: 0x7f80_0000, word: 0x7f80_0000, step: 0x0080_0000, signs: 0x8000_0000 | 0 },
  fp16: { element: 0x7c00, word: 0x7c00_7c00, step: 0x0400_0400, signs: 0x8000_8000 | 0 },
  bf16: { element: 0x7f80, word: 0x7f80_7f80, step: 0x0080_0080, signs: 0x8000_8000 | 0 },
} as const;

/** Throws where rounding to `dtype` made a finite value infinite: a mask of -1e9, say, in fp16. */
export function assertFits(
  bytes: Uint8Array,
  dtype: StorageType,
  { origin, valueAt, first = 0 }: { origin: string; valueAt: (index: number) => number; first?: number },
): void {
  if (dtype !== "fp32" && dtype !== "fp16" && dtype !== "bf16") return;
  const { element, word, step, signs } = EXPONENT[dtype];
  // One more than an exponent of all ones carries into the place of the sign: a look at two halves at once.
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  let carried = 0;
  for (let i = 0; i < words.length; i++) carried |= (words[i]! & word) + step;
  const isOdd = bytes.byteLength % 4 !== 0;
  if ((carried & signs) === 0 && !isOdd) return;
  const bits = dtype === "fp32"
    ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    : new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i]! & element) !== element || !Number.isFinite(valueAt(i))) continue;
    throw new UnfoldError(
      `${origin}: element ${first + i}, ${
        valueAt(i)
      }, is too large for ${dtype}; use a smaller value or a wider precision`,
    );
  }
}

/** Numbers rounded once into the bytes of `dtype`. */
export function bytesFromNumbers(
  source: Float64Array | Float32Array | Float16Array | Int32Array,
  dtype: StorageType,
): Uint8Array {
  const result = new Uint8Array(source.length * ITEM_BYTES[dtype]);
  roundInto(result, source, dtype);
  return result;
}

/** What 2^63 stands for among float64s, which cannot be told from it. */
const LARGEST_INT64 = 2n ** 63n - 1n;

function roundInto(
  bytes: Uint8Array,
  source: Float64Array | Float32Array | Float16Array | Int8Array | Int32Array | Uint8Array,
  dtype: StorageType,
): void {
  const view = typedView(bytes, dtype);
  if (view instanceof Uint16Array) {
    roundToBf16(view, source);
  } else if (view instanceof BigInt64Array) {
    for (let i = 0; i < source.length; i++) {
      view[i] = source[i] === 2 ** 63 ? LARGEST_INT64 : BigInt(source[i]!);
    }
  } else if (dtype === "fp8") {
    for (let i = 0; i < source.length; i++) view[i] = e4m3FromNumber(source[i]!);
  } else if (dtype === "fp4") {
    for (let i = 0; i < view.length; i++) {
      view[i] = e2m1FromNumber(source[2 * i]!) | e2m1FromNumber(source[2 * i + 1]!) << 4;
    }
  } else if (dtype === "int4") {
    for (let i = 0; i < view.length; i++) view[i] = source[2 * i]! & 15 | source[2 * i + 1]! << 4;
  } else if (dtype === "bool") {
    for (let i = 0; i < source.length; i++) view[i] = source[i] !== 0 ? 1 : 0;
  } else {
    view.set(source);
  }
}

function roundToBf16(target: Uint16Array, source: ArrayLike<number>): void {
  const narrow = new Float32Array(target.length);
  narrow.set(source);
  const words = new Int32Array(narrow.buffer);
  for (let i = 0; i < words.length; i++) {
    const bits = words[i]!;
    // What float32 puts on a tie, NaN and infinity take the long way.
    const isPlain = (bits & 0xffff) !== 0x8000 && (bits & 0x7f80_0000) !== 0x7f80_0000;
    target[i] = isPlain ? (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16 : bf16FromNumber(source[i]!);
  }
}

/** Numbers one part after the other. */
export function joined(parts: readonly Float64Array[]): Float64Array {
  const whole = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((offset, part) => (whole.set(part, offset), offset + part.length), 0);
  return whole;
}
