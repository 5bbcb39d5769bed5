/**
 * The directory of a zip archive, as arithmetic on bytes: it says which bytes of the file it wants and is
 * given them, so that whoever holds the file reads as suits it, at once or asynchronously. Reads zip64, the
 * form of archives over 4 GB. Leaves out encryption, archives in several parts and every method but "stored"
 * and "deflated", and says so when it meets one. Layout and offsets: PKWARE's APPNOTE 6.3, sections 4.3 and
 * 4.5.3.
 */

export interface ZipEntry {
  /** With "/" between folders, as the archive spells it. */
  readonly path: string;
  readonly method: "stored" | "deflated";
  readonly byteLength: number;
  readonly compressedByteLength: number;
  readonly crc32: number;
  /** Where the member's local header starts in the file. */
  readonly headerOffset: number;
}

/** Bytes of the file that are wanted next. */
export interface ZipRange {
  readonly offset: number;
  readonly byteLength: number;
}

/** Throws what the caller throws about its file; the problem reads on from the file's name. */
export type ZipFailure = (problem: string) => never;

/** Bytes of a local header before its name. */
export const LOCAL_BYTES = 30;

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const LOCATOR_SIGNATURE = 0x07064b50;
const LOCATOR_BYTES = 20;
const END64_SIGNATURE = 0x06064b50;
const END64_BYTES = 56;
const DIRECTORY_SIGNATURE = 0x02014b50;
const DIRECTORY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const ZIP64_EXTRA = 0x0001;
/** What the 16 and 32-bit fields hold when the number is in a zip64 record. */
const ELSEWHERE_16 = 0xffff;
const ELSEWHERE_32 = 0xffffffff;
/** Some two million members; a directory is held in memory whole. */
const MAX_DIRECTORY_BYTES = 2 ** 28;

/** Reads the directory: path -> entry, in the archive's order. Asks for at most four ranges. */
export function* zipDirectory(
  size: number,
  fail: ZipFailure,
): Generator<ZipRange, ReadonlyMap<string, ZipEntry>, DataView> {
  const tailStart = Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES);
  const tail = yield { offset: tailStart, byteLength: size - tailStart };
  const at = endOfDirectory(tail);
  if (at === undefined) return fail("is not a whole zip archive: it has no end-of-directory record");
  let end: DirectoryEnd = {
    parts: tail.getUint16(at + 4, true),
    count: tail.getUint16(at + 10, true),
    byteLength: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
    recordOffset: tailStart + at,
  };
  if (
    end.count === ELSEWHERE_16 || end.byteLength === ELSEWHERE_32 || end.offset === ELSEWHERE_32
  ) end = yield* zip64End(end, fail);
  if (end.parts !== 0) {
    return fail("is one part of a zip archive in several parts, which UNfold does not read");
  }
  if (end.offset + end.byteLength > end.recordOffset) {
    return fail("is damaged: its zip directory reaches past the end of the file");
  }
  if (end.byteLength > MAX_DIRECTORY_BYTES) {
    return fail(`has a zip directory of ${end.byteLength} bytes; UNfold reads ${MAX_DIRECTORY_BYTES}`);
  }
  const directory = yield { offset: end.offset, byteLength: end.byteLength };
  return entriesOf(directory, { count: end.count, fail });
}

/**
 * Where a member's bytes begin, given its local header: that header's extra field may differ in length from
 * the directory's, so this is known only there. Undefined if no header stands there.
 */
export function zipDataOffset(local: DataView, { headerOffset }: ZipEntry): number | undefined {
  if (local.getUint32(0, true) !== LOCAL_SIGNATURE) return undefined;
  return headerOffset + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
}

interface DirectoryEnd {
  /** Number of this part: 0 for an archive in one file. */
  readonly parts: number;
  readonly count: number;
  readonly byteLength: number;
  readonly offset: number;
  /** Where the record that says all this stands, behind the directory. */
  readonly recordOffset: number;
}

function endOfDirectory(tail: DataView): number | undefined {
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    // A comment may contain the signature: the true record's comment ends where the file does.
    if (tail.getUint32(at, true) !== END_SIGNATURE) continue;
    if (at + END_BYTES + tail.getUint16(at + 20, true) === tail.byteLength) return at;
  }
  return undefined;
}

function* zip64End(
  { recordOffset: endOffset }: DirectoryEnd,
  fail: ZipFailure,
): Generator<ZipRange, DirectoryEnd, DataView> {
  const lost = "is damaged: it needs a zip64 end-of-directory record and has none";
  const locatorOffset = endOffset - LOCATOR_BYTES;
  if (locatorOffset < 0) return fail(lost);
  const locator = yield { offset: locatorOffset, byteLength: LOCATOR_BYTES };
  if (locator.getUint32(0, true) !== LOCATOR_SIGNATURE) return fail(lost);
  const recordOffset = Number(locator.getBigUint64(8, true));
  if (recordOffset + END64_BYTES > locatorOffset) return fail(lost);
  const record = yield { offset: recordOffset, byteLength: END64_BYTES };
  if (record.getUint32(0, true) !== END64_SIGNATURE) return fail(lost);
  // Beyond 2^53 these round, and are beyond the end of the file just the same.
  return {
    parts: record.getUint32(16, true),
    count: Number(record.getBigUint64(32, true)),
    byteLength: Number(record.getBigUint64(40, true)),
    offset: Number(record.getBigUint64(48, true)),
    recordOffset,
  };
}

function entriesOf(
  directory: DataView,
  { count, fail }: { readonly count: number; readonly fail: ZipFailure },
): ReadonlyMap<string, ZipEntry> {
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (
      at + DIRECTORY_BYTES > directory.byteLength || directory.getUint32(at, true) !== DIRECTORY_SIGNATURE
    ) {
      return fail(`is damaged: entry ${index} of its zip directory cannot be read`);
    }
    const pathBytes = directory.getUint16(at + 28, true);
    const extraBytes = directory.getUint16(at + 30, true);
    const next = at + DIRECTORY_BYTES + pathBytes + extraBytes + directory.getUint16(at + 32, true);
    if (next > directory.byteLength) {
      return fail(`is damaged: entry ${index} of its zip directory is cut off`);
    }
    const part = (offset: number, byteLength: number) =>
      new DataView(directory.buffer, directory.byteOffset + offset, byteLength);
    const path = new TextDecoder().decode(part(at + DIRECTORY_BYTES, pathBytes));
    if (entries.has(path)) return fail(`is damaged: it has two members named ${path}`);
    const extra = part(at + DIRECTORY_BYTES + pathBytes, extraBytes);
    entries.set(path, entryOf(part(at, DIRECTORY_BYTES), { path, extra, fail }));
    at = next;
  }
  return entries;
}

function entryOf(
  record: DataView,
  { path, extra, fail }: { readonly path: string; readonly extra: DataView; readonly fail: ZipFailure },
): ZipEntry {
  const flags = record.getUint16(8, true);
  const method = record.getUint16(10, true);
  if ((flags & 1) !== 0) return fail(`has an encrypted member, ${path}, which UNfold does not read`);
  if (method !== 0 && method !== 8) {
    return fail(`has ${path} compressed with zip method ${method}; UNfold reads 0 and 8`);
  }
  const wide = zip64Numbers(extra);
  // The extra field holds only what the record does not, in this order (4.5.3).
  const number = (at: number): number => {
    const value = record.getUint32(at, true);
    if (value !== ELSEWHERE_32) return value;
    return wide.shift() ?? fail(`is damaged: ${path} lacks its zip64 sizes`);
  };
  const byteLength = number(24);
  const compressedByteLength = number(20);
  const headerOffset = number(42);
  return {
    path,
    method: method === 0 ? "stored" : "deflated",
    byteLength,
    compressedByteLength,
    crc32: record.getUint32(16, true),
    headerOffset,
  };
}

/** The 64-bit numbers of an entry's zip64 field. */
function zip64Numbers(extra: DataView): number[] {
  for (let at = 0; at + 4 <= extra.byteLength;) {
    const end = Math.min(at + 4 + extra.getUint16(at + 2, true), extra.byteLength);
    if (extra.getUint16(at, true) === ZIP64_EXTRA) {
      const numbers: number[] = [];
      for (let next = at + 4; next + 8 <= end; next += 8) {
        numbers.push(Number(extra.getBigUint64(next, true)));
      }
      return numbers;
    }
    at = end;
  }
  return [];
}
