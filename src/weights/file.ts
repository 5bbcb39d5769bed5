/**
 * Reading ranges of a regular file, and the answers to a disk that does not cooperate. No file stays open: a
 * file that changes between two openings is told by its identity. Leaves out what the bytes mean.
 */
import { systemReason, UnfoldError } from "../errors.ts";
import type { TensorData } from "../ir/data.ts";

/** Linux reads at most 2^31 - 4096 bytes at once; smaller pieces also keep a call from blocking for long. */
const PIECE_BYTES = 2 ** 28;

/** Opens a regular file; a missing file, a directory, a pipe, or a lack of rights is one UnfoldError. */
export function openForReading(path: string): Deno.FsFile {
  try {
    // A pipe must not be opened: that would wait for its other end.
    const info = Deno.statSync(path);
    if (info.isDirectory) throw new UnfoldError(`${path} is a directory: give the file in it.`);
    if (!info.isFile) throw new UnfoldError(`${path} is not a regular file.`);
    return Deno.openSync(path);
  } catch (error) {
    throw unreadable(error, path);
  }
}

/** Turns a file-system error into an answer; anything else passes through. */
export function unreadable(error: unknown, path: string): unknown {
  if (error instanceof Deno.errors.NotFound) {
    return new UnfoldError(`${path}: no such file. Check the path; nothing is downloaded.`);
  }
  const reason = systemReason(error);
  return reason === null ? error : new UnfoldError(`${path} cannot be read: ${reason}.`);
}

/** What tells a file from the one that has its path later. */
export function identityOf({ size, mtime, ino, dev }: Deno.FileInfo): string {
  return [size, mtime?.getTime(), ino, dev].join(" ");
}

/**
 * Opens `path` again for `read`, and refuses if it is no longer the file that had that `identity`.
 *
 * @param origin what is read, for messages
 */
export function readAgain<T>(
  path: string,
  { identity, origin }: { readonly identity: string; readonly origin: string },
  read: (file: Deno.FsFile) => T,
): T {
  using file = openForReading(path);
  if (identityOf(file.statSync()) !== identity) {
    throw new UnfoldError(`${origin}: the file has changed since it was opened. Run again.`);
  }
  return read(file);
}

interface Range {
  readonly origin: string;
  readonly begin: number;
  readonly byteLength: number;
}

/** Bytes of the file in a fresh buffer, aligned to 8 as every `Uint8Array` of its own is. */
export function readRange(file: Deno.FsFile, { byteLength, ...range }: Range): Uint8Array<ArrayBuffer> {
  const bytes = allocate(byteLength, range.origin);
  fillFrom(file, bytes, range);
  return bytes;
}

/** A range of a file that is opened again whenever some of it is read. */
export function bytesInFile(
  { file: { path, identity }, begin, byteLength }: Omit<Range, "origin"> & {
    readonly file: { readonly path: string; readonly identity: string };
  },
  origin: string,
): Required<Pick<TensorData, "bytes" | "readInto">> {
  const readInto = (target: Uint8Array<ArrayBuffer>, from: number) =>
    readAgain(path, { identity, origin }, (file) => fillFrom(file, target, { origin, begin: begin + from }));
  const bytes = () => {
    const whole = allocate(byteLength, origin);
    readInto(whole, 0);
    return whole;
  };
  return { bytes, readInto };
}

/** Fills an array with bytes of the file, from `begin` on. */
function fillFrom(
  file: Deno.FsFile,
  bytes: Uint8Array<ArrayBuffer>,
  { origin, begin }: Omit<Range, "byteLength">,
): void {
  try {
    file.seekSync(begin, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) {
      const count = file.readSync(bytes.subarray(done, done + PIECE_BYTES));
      if (count === null) {
        throw new UnfoldError(
          `${origin}: the file ended at byte ${begin + done} while it was read. Run again.`,
        );
      }
      done += count;
    }
  } catch (error) {
    throw unreadable(error, origin);
  }
}

/** Zeros, or one answer where memory does not suffice. */
export function allocate(byteLength: number, origin: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(byteLength);
  } catch {
    throw new UnfoldError(`${origin}: its ${byteLength} bytes do not fit in memory in one piece.`);
  }
}
