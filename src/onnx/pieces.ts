/**
 * A file as the pieces it consists of: bytes at hand, and weights that are read when their turn comes, a part
 * at a time: one part is written while the next is read and folded.
 */

/** Bytes, or how to get them. */
export type Piece = Uint8Array | LazyPiece;

export interface LazyPiece {
  readonly byteLength: number;
  /** Its parts, each good until the next but one is asked for. */
  read(): Iterable<Uint8Array>;
}

/**
 * Writes the pieces to a new file one after the other; `onBytes` is told how many bytes follow the others.
 */
export async function writePieces(
  path: string,
  pieces: Iterable<Piece>,
  onBytes: (byteLength: number) => void = () => {},
): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  let writing: Promise<void> | null = null;
  try {
    for (const piece of pieces) {
      for (const bytes of partsOf(piece)) {
        await writing;
        writing = writeAll(file, bytes);
        onBytes(bytes.length);
      }
    }
  } finally {
    // The file must not be closed under a write, whatever went wrong meanwhile.
    await writing;
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
}

/** All pieces in one array. */
export function joined(pieces: readonly Piece[]): Uint8Array {
  const whole = new Uint8Array(byteLengthOf(pieces));
  let offset = 0;
  for (const piece of pieces) {
    for (const bytes of partsOf(piece)) {
      whole.set(bytes, offset);
      offset += bytes.length;
    }
  }
  return whole;
}

export function byteLengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function partsOf(piece: Piece): Iterable<Uint8Array> {
  return piece instanceof Uint8Array ? [piece] : piece.read();
}
