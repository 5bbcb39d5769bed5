/**
 * Scans of whole tensors for values that would poison a network: NaN and infinity, and negative variances.
 * They run at the speed of memory, on 32-bit words whatever the element type, and stop at the first block
 * with a hit; only that block is looked at element by element. Integers and booleans are always finite.
 */
import { float64FromBytes } from "../ir/data.ts";
import { ITEM_BYTES, type StorageType } from "../ir/dtype.ts";

/** An element: its index in row-major order, and its value. */
export interface BadValue {
  readonly index: number;
  readonly value: number;
}

/** The first NaN or infinity, or null. Reads the bytes once. */
export function firstNonFinite(bytes: Uint8Array, dtype: StorageType): BadValue | null {
  const field = EXPONENTS[dtype];
  return field === undefined
    ? null
    : scan(bytes, { dtype, ...field, isBad: (value) => !Number.isFinite(value) });
}

/** The first value below zero, or null; -0 and NaN are not below zero. Reads the bytes once. */
export function firstNegative(bytes: Uint8Array, dtype: StorageType): BadValue | null {
  if (dtype === "bool") return null;
  // A sign bit suffices to look closer: with no exponent to add, only the sign of `word + 0` is tested.
  const { sign, stride } = EXPONENTS[dtype] ?? { sign: SIGN_32, stride: dtype === "int64" ? 2 : 1 };
  return scan(bytes, { dtype, mask: sign, step: 0, sign, stride, isBad: (value) => value < 0 });
}

/**
 * An exponent is all ones, which makes the value NaN or infinite, exactly if adding one at its lowest bit
 * carries into the sign's place, the sign having been masked away. Two halves of a word do this side by side:
 * nothing carries out of the upper bit of either. Of an fp64 only the upper word (the odd ones,
 * little-endian) has an exponent.
 */
interface Exponent {
  readonly mask: number;
  readonly step: number;
  readonly sign: number;
  /** Every word (1), or every second from word 1 (2). */
  readonly stride: 1 | 2;
}

const SIGN_32 = 0x80000000 | 0;
const SIGN_16 = 0x80008000 | 0;

const EXPONENTS: { readonly [dtype in StorageType]?: Exponent } = {
  fp64: { mask: 0x7ff00000, step: 0x00100000, sign: SIGN_32, stride: 2 },
  fp32: { mask: 0x7f800000, step: 0x00800000, sign: SIGN_32, stride: 1 },
  fp16: { mask: 0x7c007c00, step: 0x04000400, sign: SIGN_16, stride: 1 },
  bf16: { mask: 0x7f807f80, step: 0x00800080, sign: SIGN_16, stride: 1 },
};

interface Scan extends Exponent {
  readonly dtype: StorageType;
  readonly isBad: (value: number) => boolean;
}

/** Words per block: small enough to stay in the cache for the second look. */
const BLOCK_WORDS = 4096;

/** Bytes per view, a multiple of every element's size: V8 is fifty times slower at indices over 30 bits. */
const VIEW_BYTES = 2 ** 28;

function scan(bytes: Uint8Array, options: Scan): BadValue | null {
  if (bytes.byteOffset % 4 !== 0) bytes = bytes.slice();
  for (let begin = 0; begin < bytes.length; begin += VIEW_BYTES) {
    const hit = scanView(bytes.subarray(begin, begin + VIEW_BYTES), options);
    if (hit !== null) return { index: hit.index + begin / ITEM_BYTES[options.dtype], value: hit.value };
  }
  return null;
}

function scanView(bytes: Uint8Array, { dtype, isBad, ...field }: Scan): BadValue | null {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
  const itemBytes = ITEM_BYTES[dtype];
  for (let begin = 0; begin < words.length; begin += BLOCK_WORDS) {
    const end = Math.min(begin + BLOCK_WORDS, words.length);
    if (!suspicious(words, { begin, end, field })) continue;
    const hit = firstBad(bytes.subarray(begin * 4, end * 4), { dtype, isBad });
    if (hit !== null) return { index: hit.index + begin * 4 / itemBytes, value: hit.value };
  }
  // An odd number of halves leaves one that no word covers.
  const covered = words.length * 4;
  const tail = firstBad(bytes.subarray(covered), { dtype, isBad });
  return tail === null ? null : { index: tail.index + covered / itemBytes, value: tail.value };
}

interface Block {
  readonly begin: number;
  readonly end: number;
  readonly field: Exponent;
}

function suspicious(words: Int32Array, { begin, end, field }: Block): boolean {
  const { mask, step, sign, stride } = field;
  let carried = 0;
  if (stride === 2) {
    for (let i = begin + 1; i < end; i += 2) carried |= (words[i]! & mask) + step;
  } else {
    for (let i = begin; i < end; i++) carried |= (words[i]! & mask) + step;
  }
  return (carried & sign) !== 0;
}

function firstBad(bytes: Uint8Array, { dtype, isBad }: Pick<Scan, "dtype" | "isBad">): BadValue | null {
  const values = float64FromBytes(bytes, dtype);
  const index = values.findIndex(isBad);
  return index < 0 ? null : { index, value: values[index]! };
}
