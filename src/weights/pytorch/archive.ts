/**
 * Members of a zip archive, read at once and by range, as a checkpoint wants them: each is stored as it is,
 * so a part of a member is a part of the file. A member that is read whole must have the checksum of its
 * directory entry. Leaves out compressed members, and what any of it means.
 */
import { crc32 } from "node:zlib";
// Byte arithmetic with which the native half reads wheels; it imports nothing, and no foreign memory.
import { LOCAL_BYTES, zipDataOffset, zipDirectory, type ZipEntry } from "../../../native/zip/directory.ts";
import { UnfoldError } from "../../errors.ts";
import { readRange } from "../file.ts";

export const AGAIN = "The file is cut short or damaged: download or copy it again.";

export interface Archive {
  readonly path: string;
  readonly byteLength: number;
  readonly entries: ReadonlyMap<string, ZipEntry>;
}

/** Reads the directory of the archive that `file`, of that size, is. */
export function readArchive(
  file: Deno.FsFile,
  { path, byteLength }: Pick<Archive, "path" | "byteLength">,
): Archive {
  const origin = `the zip directory of ${path}`;
  const reading = zipDirectory(byteLength, (problem): never => {
    throw new UnfoldError(`${path} ${problem}. ${AGAIN}`);
  });
  let step = reading.next();
  while (!step.done) {
    const { offset, byteLength } = step.value;
    step = reading.next(new DataView(readRange(file, { origin, begin: offset, byteLength }).buffer));
  }
  return { path, byteLength, entries: step.value };
}

/**
 * The entry of a member that can be read by range.
 *
 * @throws UnfoldError if there is none of that name, it is compressed, or it cannot lie in the file.
 */
export function storedEntry({ path, byteLength, entries }: Archive, name: string): ZipEntry {
  const entry = entries.get(name);
  if (entry === undefined) throw new UnfoldError(`${path} has no member ${name}. ${AGAIN}`);
  if (entry.method !== "stored") {
    throw new UnfoldError(
      `${path}: its member ${name} is compressed; torch.save stores members as they are. Save the file again with it.`,
    );
  }
  const end = entry.headerOffset + LOCAL_BYTES + entry.byteLength;
  if (entry.compressedByteLength !== entry.byteLength || !(end <= byteLength)) {
    throw new UnfoldError(
      `${path}: its member ${name} of ${entry.byteLength} bytes from byte ${entry.headerOffset} ` +
        `does not lie in the file, which has ${byteLength}. ${AGAIN}`,
    );
  }
  return entry;
}

interface Part {
  readonly archive: Archive;
  /** What is read, for messages. */
  readonly origin: string;
  readonly begin: number;
  readonly byteLength: number;
}

/** Bytes of a member, which has them, in a fresh buffer. */
export function readPart(
  file: Deno.FsFile,
  entry: ZipEntry,
  { archive, origin, begin, byteLength }: Part,
): Uint8Array<ArrayBuffer> {
  const header = readRange(file, { origin, begin: entry.headerOffset, byteLength: LOCAL_BYTES });
  const start = zipDataOffset(new DataView(header.buffer), entry);
  if (start === undefined || start + entry.byteLength > archive.byteLength) {
    throw new UnfoldError(
      `${origin}: its member ${entry.path} does not begin at byte ${entry.headerOffset} of the file. ${AGAIN}`,
    );
  }
  const bytes = readRange(file, { origin, begin: start + begin, byteLength });
  // PyTorch writes zero where it was told not to compute checksums.
  const whole = byteLength === entry.byteLength;
  if (whole && entry.crc32 !== 0 && crc32(bytes) !== entry.crc32) {
    throw new UnfoldError(`${origin}: its member ${entry.path} does not have its checksum. ${AGAIN}`);
  }
  return bytes;
}
