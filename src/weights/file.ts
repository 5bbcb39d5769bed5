/**
 * One safetensors file, read lazily: opening it reads the header, and a tensor's bytes are read, just its range, each
 * time they are asked for. No file stays open and no data is cached, so a 5 GB checkpoint costs no 5 GB. A file that
 * changes between the two is refused rather than read at the wrong place. Leaves out what values mean.
 */
import { systemReason, UnfoldError } from "../errors.ts";
import type { TensorData } from "../ir/data.ts";
import { describeForeign, SNIFF_BYTES } from "./foreign.ts";
import {
  type Header,
  type HeaderEntry,
  MAX_HEADER_BYTES,
  parseHeader,
  PREFIX_BYTES,
  STORAGE_TYPES,
} from "./header.ts";
import { DAMAGED } from "./json.ts";
import { nearestNames } from "./names.ts";

/** Named tensors at rest, in one file or in several. */
export interface Checkpoint {
  /** The file, or the index of a sharded checkpoint. */
  readonly path: string;
  /** The file's own words about itself: `__metadata__`, or the index's `metadata` as text. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All names, in the order of the header, readable or not. */
  names(): readonly string[];
  has(name: string): boolean;
  /** @throws UnfoldError if there is no such tensor. */
  shapeOf(name: string): readonly number[];
  /**
   * The tensor, not yet read: each call of its `bytes()` reads its range of the file.
   *
   * @throws UnfoldError if there is no such tensor, or UNfold does not read its element type.
   */
  tensor(name: string): TensorData;
}

/** Linux reads at most 2^31 - 4096 bytes at a time; smaller pieces also keep one call from blocking for long. */
const PIECE_BYTES = 2 ** 28;

/**
 * Opens the single file `path`.
 *
 * @throws UnfoldError if it is missing, unreadable, not safetensors, or malformed.
 */
export function openFile(path: string): Checkpoint {
  return new FileCheckpoint(path);
}

class FileCheckpoint implements Checkpoint {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #entries: ReadonlyMap<string, HeaderEntry>;
  readonly #identity: string;

  constructor(path: string) {
    this.path = path;
    using file = openForReading(path);
    const info = file.statSync();
    this.#identity = identityOf(info);
    const { entries, metadata } = readHeader(file, { path, fileByteLength: info.size });
    this.#entries = entries;
    this.metadata = metadata;
  }

  names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  shapeOf(name: string): readonly number[] {
    return this.#entry(name).shape;
  }

  tensor(name: string): TensorData {
    const entry = this.#entry(name);
    const dtype = STORAGE_TYPES.get(entry.dtype);
    const origin = `tensor ${JSON.stringify(name)} of ${this.path}`;
    if (dtype === undefined) {
      throw new UnfoldError(
        `${origin}: UNfold does not read the element type ${entry.dtype}, only ` +
          `${[...STORAGE_TYPES.keys()].join(", ")}. Convert it before saving, with .float() in PyTorch.`,
      );
    }
    return { dtype, shape: entry.shape, origin, bytes: () => this.#read(entry, origin) };
  }

  #entry(name: string): HeaderEntry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    throw noSuchTensor(this, name);
  }

  #read({ begin, end }: HeaderEntry, origin: string): Uint8Array {
    using file = openForReading(this.path);
    if (identityOf(file.statSync()) !== this.#identity) {
      throw new UnfoldError(`${origin}: the file has changed since it was opened. Run again.`);
    }
    return readRange(file, { origin, begin, byteLength: end - begin });
  }
}

/** The answer to a name that a checkpoint does not have. */
export function noSuchTensor(checkpoint: Checkpoint, name: string): UnfoldError {
  const near = nearestNames(name, checkpoint.names());
  const hint = near.length === 0 ? "" : ` Closest: ${near.join(", ")}.`;
  return new UnfoldError(`${checkpoint.path} has no tensor ${JSON.stringify(name)}.${hint}`);
}

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

function identityOf({ size, mtime, ino, dev }: Deno.FileInfo): string {
  return [size, mtime?.getTime(), ino, dev].join(" ");
}

function readHeader(file: Deno.FsFile, place: { path: string; fileByteLength: number }): Header {
  const { path, fileByteLength } = place;
  const origin = `the header of ${path}`;
  const head = readRange(file, { origin, begin: 0, byteLength: Math.min(SNIFF_BYTES, fileByteLength) });
  const opensObject = head[PREFIX_BYTES] === "{".charCodeAt(0);
  const foreign = opensObject ? null : describeForeign(head, path);
  if (foreign !== null) throw new UnfoldError(`${path} ${foreign}`);
  if (fileByteLength < PREFIX_BYTES) {
    throw new UnfoldError(
      `${path} has ${fileByteLength} bytes; a safetensors file begins with 8 that give the length of its header. ` +
        DAMAGED,
    );
  }
  const headerByteLength = new DataView(head.buffer).getBigUint64(0, true);
  if (headerByteLength > MAX_HEADER_BYTES) {
    throw new UnfoldError(
      `${path}: bytes 0 to 7 say that the header has ${headerByteLength} bytes; the format allows ` +
        `${MAX_HEADER_BYTES}. ${opensObject ? DAMAGED : "This is not a safetensors file."}`,
    );
  }
  const byteLength = Number(headerByteLength);
  if (PREFIX_BYTES + byteLength > fileByteLength) {
    throw new UnfoldError(
      `${path}: bytes 0 to 7 say that the header ends at byte ${
        PREFIX_BYTES + byteLength
      }, but the file has ` +
        `${fileByteLength} bytes: ${
          PREFIX_BYTES + byteLength - fileByteLength
        } bytes are missing at least. ` +
        "The file is truncated: download or copy it again.",
    );
  }
  return parseHeader(readRange(file, { origin, begin: PREFIX_BYTES, byteLength }), place);
}

interface Range {
  readonly origin: string;
  readonly begin: number;
  readonly byteLength: number;
}

/** Bytes of the file in a fresh buffer, which begins at a multiple of 8 as every `Uint8Array` of its own does. */
export function readRange(file: Deno.FsFile, { origin, begin, byteLength }: Range): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(byteLength);
  } catch {
    throw new UnfoldError(`${origin}: its ${byteLength} bytes do not fit in memory in one piece.`);
  }
  try {
    file.seekSync(begin, Deno.SeekMode.Start);
    for (let done = 0; done < byteLength;) {
      const count = file.readSync(bytes.subarray(done, Math.min(done + PIECE_BYTES, byteLength)));
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
  return bytes;
}
