/**
 * Eight-bit floating point, decoded exactly: every value of these types is one of fp16; and E4M3, in which
 * networks are quantized, encoded. Scales are another matter (`src/weights/scaled.ts`). OFP8 (E4M3FN, E5M2)
 * and the variants without a negative zero (FNUZ). Leaves out E8M0, which is a scale itself.
 */

/** The types, in the words of safetensors and of PyTorch. */
export type Float8 = "E4M3" | "E5M2" | "E4M3FNUZ" | "E5M2FNUZ";

export const FLOAT8: ReadonlyMap<string, Float8> = new Map<string, Float8>([
  ["F8_E4M3", "E4M3"],
  ["F8_E5M2", "E5M2"],
  ["F8_E4M3FNUZ", "E4M3FNUZ"],
  ["F8_E5M2FNUZ", "E5M2FNUZ"],
  ["float8_e4m3fn", "E4M3"],
  ["float8_e5m2", "E5M2"],
  ["float8_e4m3fnuz", "E4M3FNUZ"],
  ["float8_e5m2fnuz", "E5M2FNUZ"],
]);

/** The same values in fp16. */
export function halvesOf(bytes: Uint8Array, type: Float8): Uint8Array<ArrayBuffer> {
  const table = tableOf(type);
  const halves = new Uint16Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) halves[i] = table[bytes[i]!]!;
  return new Uint8Array(halves.buffer);
}

const TABLES = new Map<Float8, Uint16Array>();

function tableOf(type: Float8): Uint16Array {
  let table = TABLES.get(type);
  if (table === undefined) {
    const values = Float16Array.from({ length: 256 }, (_, bits) => valueOf(bits, type));
    TABLES.set(type, table = new Uint16Array(values.buffer));
  }
  return table;
}

function valueOf(bits: number, type: Float8): number {
  const mantissaBits = type.startsWith("E4") ? 3 : 2;
  const isFnuz = type.endsWith("FNUZ");
  const bias = (mantissaBits === 3 ? 7 : 15) + (isFnuz ? 1 : 0);
  const sign = bits >= 0x80 ? -1 : 1;
  const magnitude = bits & 0x7f;
  if (isFnuz && bits === 0x80) return NaN;
  if (type === "E4M3" && magnitude === 0x7f) return NaN;
  if (type === "E5M2" && magnitude >= 0x7c) return magnitude === 0x7c ? sign * Infinity : NaN;
  const exponent = magnitude >> mantissaBits;
  const fraction = (magnitude & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

/** The largest number of E4M3, which has no infinities. */
export const LARGEST_E4M3 = 448;
/** Of the smallest normal number. */
const LOWEST_EXPONENT = -6;

/** A number rounded to E4M3 once, to nearest even, and what is too large to the largest. */
export function roundedToE4m3(value: number): number {
  const step = 2 ** (exponentOf(value) - 3);
  return Math.max(-LARGEST_E4M3, Math.min(LARGEST_E4M3, toEven(value / step) * step));
}

/** The bits of a number that is rounded as well. */
export function e4m3FromNumber(value: number): number {
  if (Number.isNaN(value)) return 0x7f;
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(value), LARGEST_E4M3);
  const exponent = exponentOf(magnitude);
  // Eight steps are the implicit one; sixteen carry into the exponent.
  return sign | ((exponent - LOWEST_EXPONENT) << 3) + toEven(magnitude * 2 ** (3 - exponent));
}

/** That whose eighth is the distance of neighbours. What float32 rounds up to a power of two has the same. */
function exponentOf(value: number): number {
  SCRATCH[0] = value;
  return Math.max(((BITS[0]! >>> 23) & 0xff) - 127, LOWEST_EXPONENT);
}

const SCRATCH = new Float32Array(1);
const BITS = new Uint32Array(SCRATCH.buffer);

/** To the nearest whole number, ties to the even one; of numbers below 2^51. */
export function toEven(value: number): number {
  const large = 1.5 * 2 ** 52;
  return value + large - large;
}
