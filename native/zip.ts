/**
 * Reads members out of a zip archive through an open file, a piece at a time. It promises that a member's pieces
 * add up to the size and CRC-32 its directory entry states, or throws; it never holds a member in memory. It leaves
 * out zip64, encryption, archives in several parts and every method but "stored" and "deflated", and says so when
 * it meets one. Layout and offsets: PKWARE's APPNOTE 6.3.
 */

import { pipeline, Readable } from "node:stream";
import { crc32, createInflateRaw } from "node:zlib";
import { NativeError } from "./error.ts";

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

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const DIRECTORY_SIGNATURE = 0x02014b50;
const DIRECTORY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const READ_BYTES = 1 << 18;
const INFLATED_CHUNK_BYTES = 1 << 20;

/**
 * The archive's directory: path -> entry. `name` is what errors call the file.
 *
 * Throws NativeError when the file is not a whole zip archive, or one that needs zip64.
 */
export async function readZipEntries(
  file: Deno.FsFile,
  name: string,
): Promise<ReadonlyMap<string, ZipEntry>> {
  const { size } = await file.stat();
  const tailStart = Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES);
  const tail = await readExactly(file, { offset: tailStart, byteLength: size - tailStart, name });
  const end = endOfDirectory(tail);
  if (end === undefined) {
    throw new NativeError(`${name} is not a whole zip archive: it has no end-of-directory record`);
  }
  const count = tail.getUint16(end + 10, true);
  const directoryBytes = tail.getUint32(end + 12, true);
  const directoryStart = tail.getUint32(end + 16, true);
  if (count === 0xffff || directoryBytes === 0xffffffff || directoryStart === 0xffffffff) {
    throw new NativeError(`${name} is a zip64 archive, which UNfold does not read`);
  }
  if (tail.getUint16(end + 4, true) !== 0) {
    throw new NativeError(
      `${name} is one part of a zip archive in several parts, which UNfold does not read`,
    );
  }
  if (directoryStart + directoryBytes > tailStart + end) {
    throw new NativeError(`${name} is damaged: its zip directory reaches past the end of the file`);
  }
  const directory = await readExactly(file, { offset: directoryStart, byteLength: directoryBytes, name });
  return entriesOf(directory, { count, name });
}

/**
 * The bytes of one member in order, uncompressed.
 *
 * The file's position moves while this runs: one member at a time per open file. Throws NativeError when the bytes do
 * not match the entry's size or CRC-32.
 */
export async function* zipEntryChunks(
  file: Deno.FsFile,
  entry: ZipEntry,
  { name }: { readonly name: string },
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const where = `${entry.path} in ${name}`;
  const local = await readExactly(file, { offset: entry.headerOffset, byteLength: LOCAL_BYTES, name });
  if (local.getUint32(0, true) !== LOCAL_SIGNATURE) {
    throw new NativeError(`${where} is damaged: no member starts at byte ${entry.headerOffset}`);
  }
  // The local header's extra field may differ in length from the directory's, so the data's start is known only here.
  const dataStart = entry.headerOffset + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
  await file.seek(dataStart, Deno.SeekMode.Start);

  let byteLength = 0;
  let checksum = 0;
  try {
    const compressed = nextBytes(file, entry.compressedByteLength);
    for await (const chunk of entry.method === "stored" ? compressed : inflated(compressed)) {
      byteLength += chunk.byteLength;
      if (byteLength > entry.byteLength) break;
      checksum = crc32(chunk, checksum);
      yield chunk;
    }
  } catch (error) {
    // Inflate's own errors carry zlib's code ("Z_DATA_ERROR"); anything else is the caller's or the disk's.
    if (!(error instanceof Error) || !/^Z_/.test(String((error as { code?: unknown }).code))) throw error;
    throw new NativeError(`${where} is damaged: ${error.message}`, { cause: error });
  }
  if (byteLength !== entry.byteLength || checksum !== entry.crc32) {
    throw new NativeError(`${where} is damaged: its bytes do not have the size and CRC-32 of its zip entry`);
  }
}

async function* inflated(
  compressed: AsyncGenerator<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const inflate = createInflateRaw({ chunkSize: INFLATED_CHUNK_BYTES });
  // pipeline(), unlike pipe(), ends both sides when either fails or the reader stops early; its error also reaches
  // the loop below, hence the empty callback.
  pipeline(Readable.from(compressed), inflate, () => {});
  for await (const chunk of inflate) yield chunk as Uint8Array<ArrayBuffer>;
}

function endOfDirectory(tail: DataView): number | undefined {
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    // A comment may contain the signature: the true record's comment ends where the file does.
    if (tail.getUint32(at, true) !== END_SIGNATURE) continue;
    if (at + END_BYTES + tail.getUint16(at + 20, true) === tail.byteLength) return at;
  }
  return undefined;
}

function entriesOf(
  directory: DataView,
  { count, name }: { readonly count: number; readonly name: string },
): ReadonlyMap<string, ZipEntry> {
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (
      at + DIRECTORY_BYTES > directory.byteLength || directory.getUint32(at, true) !== DIRECTORY_SIGNATURE
    ) {
      throw new NativeError(`${name} is damaged: entry ${index} of its zip directory cannot be read`);
    }
    const pathBytes = directory.getUint16(at + 28, true);
    const next = at + DIRECTORY_BYTES + pathBytes + directory.getUint16(at + 30, true) +
      directory.getUint16(at + 32, true);
    if (next > directory.byteLength) {
      throw new NativeError(`${name} is damaged: entry ${index} of its zip directory is cut off`);
    }
    const path = new TextDecoder().decode(
      new Uint8Array(directory.buffer, directory.byteOffset + at + DIRECTORY_BYTES, pathBytes),
    );
    entries.set(path, entryAt(directory, { at, path, name }));
    at = next;
  }
  return entries;
}

function entryAt(
  directory: DataView,
  { at, path, name }: { readonly at: number; readonly path: string; readonly name: string },
): ZipEntry {
  const flags = directory.getUint16(at + 8, true);
  const method = directory.getUint16(at + 10, true);
  const compressedByteLength = directory.getUint32(at + 20, true);
  const byteLength = directory.getUint32(at + 24, true);
  const headerOffset = directory.getUint32(at + 42, true);
  if ((flags & 1) !== 0) throw new NativeError(`${path} in ${name} is encrypted, which UNfold does not read`);
  if (method !== 0 && method !== 8) {
    throw new NativeError(`${path} in ${name} is compressed with zip method ${method}; UNfold reads 0 and 8`);
  }
  if ([compressedByteLength, byteLength, headerOffset].includes(0xffffffff)) {
    throw new NativeError(`${path} in ${name} is a zip64 member, which UNfold does not read`);
  }
  return {
    path,
    method: method === 0 ? "stored" : "deflated",
    byteLength,
    compressedByteLength,
    crc32: directory.getUint32(at + 16, true),
    headerOffset,
  };
}

/** The next `byteLength` bytes from the file's position; a file that ends sooner ends the sequence sooner. */
async function* nextBytes(
  file: Deno.FsFile,
  byteLength: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  let left = byteLength;
  while (left > 0) {
    const buffer = new Uint8Array(Math.min(left, READ_BYTES));
    const read = await file.read(buffer);
    if (read === null) return;
    left -= read;
    yield buffer.subarray(0, read);
  }
}

async function readExactly(
  file: Deno.FsFile,
  { offset, byteLength, name }: {
    readonly offset: number;
    readonly byteLength: number;
    readonly name: string;
  },
): Promise<DataView> {
  const bytes = new Uint8Array(byteLength);
  await file.seek(offset, Deno.SeekMode.Start);
  let done = 0;
  while (done < byteLength) {
    const read = await file.read(bytes.subarray(done));
    if (read === null) {
      throw new NativeError(`${name} is damaged: it ends before byte ${offset + byteLength}`);
    }
    done += read;
  }
  return new DataView(bytes.buffer);
}
