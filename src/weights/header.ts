/**
 * The header of a safetensors file, as data: element types, shapes and byte ranges, all of it checked before
 * a tensor is looked at. As in the reference implementation, the tensors must cover the data without overlap
 * and without a hole: bytes that no tensor claims are how a second file is hidden in a first, or how a broken
 * writer shows. Leaves out the file itself: the caller reads the bytes.
 */
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import type { StorageType } from "../ir/dtype.ts";
import { DAMAGED, describe, isObject, type JsonMember, type JsonValue, parseJsonObject } from "./json.ts";

/** Bytes before the header: its length, an unsigned little-endian 64-bit integer. */
export const PREFIX_BYTES = 8;

/** The reference implementation's limit for the header. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Element types of the format that UNfold reads, in its own words. */
export const STORAGE_TYPES: ReadonlyMap<string, StorageType> = new Map([
  ["F64", "fp64"],
  ["F32", "fp32"],
  ["F16", "fp16"],
  ["BF16", "bf16"],
  ["I64", "int64"],
  ["I32", "int32"],
  ["I8", "int8"],
  ["U8", "uint8"],
  ["BOOL", "bool"],
]);

/** Bits per element of every type of the format (safetensors 0.6); more may be listed than UNfold reads. */
const ITEM_BITS: ReadonlyMap<string, number> = new Map([
  ["BOOL", 8],
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["U8", 8],
  ["I8", 8],
  ["F8_E5M2", 8],
  ["F8_E4M3", 8],
  ["F8_E8M0", 8],
  ["F8_E4M3FNUZ", 8],
  ["F8_E5M2FNUZ", 8],
  ["I16", 16],
  ["U16", 16],
  ["F16", 16],
  ["BF16", 16],
  ["I32", 32],
  ["U32", 32],
  ["F32", 32],
  ["C64", 64],
  ["F64", 64],
  ["I64", 64],
  ["U64", 64],
]);

export interface HeaderEntry {
  /** In the format's words: "F32", "F8_E4M3". */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Byte range in the file (not, as in the header, in the data). */
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly entries: ReadonlyMap<string, HeaderEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface HeaderPlace {
  readonly path: string;
  /** Size of the whole file. */
  readonly fileByteLength: number;
}

/**
 * Reads and checks the JSON text `bytes` that stands at byte 8 of the file.
 *
 * @throws UnfoldError naming the file, the tensor and the byte of the first thing that is wrong.
 */
export function parseHeader(bytes: Uint8Array, { path, fileByteLength }: HeaderPlace): Header {
  const json = parseJsonObject(bytes, { path, what: "header", start: PREFIX_BYTES });
  const dataStart = PREFIX_BYTES + bytes.length;
  const entries = new Map<string, HeaderEntry>();
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, member] of json.root) {
    const fail = (problem: string): never => {
      const what = name === METADATA ? METADATA : `tensor ${quoted(name)}`;
      throw new UnfoldError(
        `${path}: ${what}: ${problem} (header entry at byte ${json.byteOf(member.at)}). ${DAMAGED}`,
      );
    };
    if (name === METADATA) metadata = readMetadata(member.value, fail);
    else entries.set(name, readEntry(member, { dataStart, fail }));
  }
  checkCoverage(entries, { path, dataStart, fileByteLength });
  return { entries, metadata };
}

/** The one name in a header that is not a tensor's. */
export const METADATA = "__metadata__";

type Fail = (problem: string) => never;

function readMetadata(value: JsonValue, fail: Fail): Readonly<Record<string, string>> {
  // The reference implementation's type is optional, and some writers say so.
  if (value === null) return {};
  if (!isObject(value)) return fail(`is ${describe(value)} and not an object`);
  const pairs: [string, string][] = [];
  for (const [key, { value: text }] of value) {
    if (typeof text !== "string") return fail(`${quoted(key)} is ${describe(text)} and not a string`);
    pairs.push([key, text]);
  }
  return Object.freeze(Object.fromEntries(pairs));
}

function readEntry(
  { value }: JsonMember,
  { dataStart, fail }: { dataStart: number; fail: Fail },
): HeaderEntry {
  if (!isObject(value)) return fail(`is ${describe(value)} and not an object`);
  const dtype = value.get("dtype")?.value;
  if (typeof dtype !== "string") return fail(`dtype is ${describe(dtype)}`);
  const itemBits = ITEM_BITS.get(dtype);
  if (itemBits === undefined) return fail(`dtype ${describe(dtype)} is none of the format's types`);

  const shape = value.get("shape")?.value;
  if (!isSizes(shape)) return fail(`shape is ${describe(shape)}, not whole numbers from 0 below 2^53`);
  // In floating point: past 2^53 a product may be inexact, but it does not wrap around to a small number.
  const bits = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, itemBits);
  if (!Number.isSafeInteger(bits)) {
    return fail(`shape ${describe(shape)} is more than any file holds`);
  }
  if (bits % 8 !== 0) return fail(`shape ${describe(shape)} of ${dtype} ends within a byte`);

  const offsets = value.get("data_offsets")?.value;
  if (!isSizes(offsets) || offsets.length !== 2) {
    return fail(`data_offsets is ${describe(offsets)}, not two whole numbers from 0 below 2^53`);
  }
  const [begin, end] = offsets as readonly [number, number];
  if (begin > end) return fail(`data_offsets ${describe(offsets)} end before they begin`);
  if (end - begin !== bits / 8) {
    return fail(
      `data_offsets ${describe(offsets)} span ${end - begin} bytes, ` +
        `but ${dtype} ${describe(shape)} takes ${bits / 8}`,
    );
  }
  return { dtype, shape: Object.freeze([...shape]), begin: dataStart + begin, end: dataStart + end };
}

function isSizes(value: JsonValue | undefined): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function checkCoverage(
  entries: ReadonlyMap<string, HeaderEntry>,
  { path, dataStart, fileByteLength }: HeaderPlace & { dataStart: number },
): void {
  // Empty tensors sort before the tensor that begins where they do.
  const sorted = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  const longest = sorted.reduce<[string, HeaderEntry] | null>(
    (best, each) => best === null || each[1].end > best[1].end ? each : best,
    null,
  );
  if (longest !== null && longest[1].end > fileByteLength) {
    const [name, { end }] = longest;
    throw new UnfoldError(
      `${path}: tensor ${quoted(name)} ends at byte ${end}, but the file has ${fileByteLength} bytes: ` +
        `${end - fileByteLength} bytes are missing. The file is truncated: download or copy it again.`,
    );
  }
  let claimed = dataStart;
  let before: string | null = null;
  for (const [name, { begin, end }] of sorted) {
    if (begin < claimed) {
      throw new UnfoldError(
        `${path}: tensors ${quoted(before!)} and ${quoted(name)} overlap at byte ${begin}: ` +
          `the first ends at byte ${claimed}. ${DAMAGED}`,
      );
    }
    if (begin > claimed) {
      throw new UnfoldError(
        `${path}: the ${begin - claimed} bytes from byte ${claimed} to tensor ${quoted(name)} ` +
          `belong to no tensor. ${DAMAGED}`,
      );
    }
    claimed = end;
    before = name;
  }
  if (claimed < fileByteLength) {
    throw new UnfoldError(
      `${path}: the ${fileByteLength - claimed} bytes from byte ${claimed} to the end of the file ` +
        `belong to no tensor. ${DAMAGED}`,
    );
  }
}
