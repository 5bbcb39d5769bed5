import assert from "node:assert/strict";
import { join } from "node:path";
import { joined, type Piece, writePieces } from "../../src/onnx/pieces.ts";
import { withFolder } from "../support.ts";

const PIECES: readonly Piece[] = [
  Uint8Array.of(1, 2),
  new Uint8Array(),
  { byteLength: 3, read: () => [Uint8Array.of(3, 4, 5)] },
  Uint8Array.of(6),
];

Deno.test("writePieces() writes what joined() joins", () =>
  withFolder(async (folder) => {
    const path = join(folder, "file");
    const told: number[] = [];
    await writePieces(path, PIECES, (bytes) => told.push(bytes));
    assert.deepEqual(told, [2, 0, 3, 1]);
    assert.deepEqual(await Deno.readFile(path), joined(PIECES));
    assert.deepEqual([...joined(PIECES)], [1, 2, 3, 4, 5, 6]);
  }));

Deno.test("writePieces() passes on what goes wrong in reading, and lets go of the file", () =>
  withFolder(async (folder) => {
    const broken: Piece = {
      byteLength: 1,
      read: () => {
        throw new Error("the disk is gone");
      },
    };
    const path = join(folder, "file");
    await assert.rejects(writePieces(path, [new Uint8Array(2 ** 20), broken]), /the disk is gone/);
    // The piece before it had been written: nothing is still at work on the file.
    assert.equal((await Deno.stat(path)).size, 2 ** 20);
  }));
