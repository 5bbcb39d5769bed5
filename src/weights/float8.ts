/**
 * Eight-bit floating point as files have it, decoded exactly: every value of these types is one of fp16.
 * Scales are another matter, and in `scaled.ts`. OFP8 (E4M3FN, E5M2) and the variants without a negative zero
 * (FNUZ). Leaves out E8M0, which is a scale itself.
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
