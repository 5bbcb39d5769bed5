/**
 * Reads members out of a zip archive through an open file, a piece at a time. It promises that a member's
 * pieces add up to the size and CRC-32 its directory entry states, or throws; it never holds a member in
 * memory. What the directory says, and what of zip is left out, is `directory.ts`.
 */

import { pipeline, Readable } from "node:stream";
import { crc32, createInflateRaw } from "node:zlib";
import { NativeError } from "../error.ts";
import { LOCAL_BYTES, zipDataOffset, zipDirectory, type ZipEntry } from "./directory.ts";

export type { ZipEntry } from "./directory.ts";

const READ_BYTES = 1 << 18;
const INFLATED_CHUNK_BYTES = 1 << 20;

/**
 * The archive's directory: path -> entry. `name` is what errors call the file.
 *
 * Throws NativeError when the file is not a whole zip archive, or one of a kind that is not read.
 */
export async function readZipEntries(
  file: Deno.FsFile,
  name: string,
): Promise<ReadonlyMap<string, ZipEntry>> {
  const { size } = await file.stat();
  const reading = zipDirectory(size, (problem): never => {
    throw new NativeError(`${name} ${problem}`);
  });
  let step = reading.next();
  while (!step.done) step = reading.next(await readExactly(file, { ...step.value, name }));
  return step.value;
}

/**
 * The bytes of one member in order, uncompressed.
 *
 * The file's position moves while this runs: one member at a time per open file. Throws NativeError when the
 * bytes do not match the entry's size or CRC-32.
 */
export async function* zipEntryChunks(
  file: Deno.FsFile,
  entry: ZipEntry,
  { name }: { readonly name: string },
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const where = `${entry.path} in ${name}`;
  const local = await readExactly(file, { offset: entry.headerOffset, byteLength: LOCAL_BYTES, name });
  const dataStart = zipDataOffset(local, entry);
  if (dataStart === undefined) {
    throw new NativeError(`${where} is damaged: no member starts at byte ${entry.headerOffset}`);
  }
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
  // pipeline(), unlike pipe(), ends both sides when either fails or the reader stops early; its error also
  // reaches the loop below, hence the empty callback.
  pipeline(Readable.from(compressed), inflate, () => {});
  for await (const chunk of inflate) yield chunk as Uint8Array<ArrayBuffer>;
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
