/**
 * One safetensors file, read lazily: opening it reads the header, and a tensor's bytes are read, just its
 * range, each time they are asked for. No file stays open and no data is cached, so a 5 GB checkpoint costs
 * no 5 GB. A file that changes between the two is refused rather than read at the wrong place. Leaves out
 * what values mean.
 */
import { UnfoldError } from "../errors.ts";
import { type Checkpoint, checkpointOf } from "./checkpoint.ts";
import { bytesInFile, identityOf, openForReading, readRange } from "./file.ts";
import { describeForeign, SNIFF_BYTES } from "./foreign.ts";
import { type Header, MAX_HEADER_BYTES, parseHeader, PREFIX_BYTES, STORAGE_TYPES } from "./header.ts";
import { DAMAGED } from "./json.ts";

/**
 * Opens the file `path`.
 *
 * @throws UnfoldError if it is missing, unreadable, not safetensors, or malformed.
 */
export function openSafetensors(path: string): Checkpoint {
  using file = openForReading(path);
  const info = file.statSync();
  const identity = identityOf(info);
  const { entries, metadata } = readHeader(file, { path, fileByteLength: info.size });
  return checkpointOf({
    path,
    metadata,
    tensors: entries,
    types: STORAGE_TYPES,
    typeOf: ({ dtype }) => dtype,
    data: ({ begin, end }, origin) =>
      bytesInFile({ file: { path, identity }, begin, byteLength: end - begin }, origin),
  });
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
