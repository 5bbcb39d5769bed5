/** Eight-bit floating point, by the tables of OFP8 and of the FNUZ variants. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { bytesFromNumbers, float64Of, numbersFromBytes } from "../../src/ir/data.ts";
import { e4m3FromNumber, halvesOf, roundedToE4m3 } from "../../src/ir/float8.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";
import { type FixtureTensor, goodFile, withFolder } from "../weights/fixtures.ts";

/**
 * Bits and values: the least, one, the largest, what is not a number. From the formats' papers, not from this
 * code.
 */
const VALUES: readonly (readonly [dtype: string, bits: readonly number[], values: readonly number[]])[] = [
  ["F8_E4M3", [0x01, 0x38, 0x7e, 0xfe, 0x7f, 0x80], [2 ** -9, 1, 448, -448, NaN, -0]],
  ["F8_E5M2", [0x01, 0x3c, 0x7b, 0x7c, 0xfc, 0x7d], [2 ** -16, 1, 57344, Infinity, -Infinity, NaN]],
  ["F8_E4M3FNUZ", [0x01, 0x40, 0x7f, 0x80, 0xc0], [2 ** -10, 1, 240, NaN, -1]],
  ["F8_E5M2FNUZ", [0x01, 0x40, 0x7f, 0x80, 0xc0], [2 ** -17, 1, 57344, NaN, -1]],
];

function withTensors(tensors: Readonly<Record<string, FixtureTensor>>, body: (path: string) => void): void {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    Deno.writeFileSync(path, goodFile(tensors));
    body(path);
  });
}

for (const [dtype, bits, values] of VALUES) {
  Deno.test(`tensor() reads ${dtype} as the same values in fp16`, () => {
    withTensors({ w: { dtype, shape: [bits.length], data: Uint8Array.from(bits) } }, (path) => {
      const w = openCheckpoint(path).tensor("w");
      assert.equal(w.dtype, "fp16");
      assert.deepEqual([...float64Of(w)], values);
    });
  });
}

Deno.test("e4m3FromNumber() rounds to the nearest of all values, ties to even bits, and stays finite", () => {
  const values = [...halvesAsNumbers()];
  for (let bits = 0; bits < 0x7e; bits++) {
    const [low, high] = [values[bits]!, values[bits + 1]!];
    const middle = (low + high) / 2;
    const even = bits % 2 === 0 ? bits : bits + 1;
    const given = [low, middle, middle * (1 - 2 ** -40), middle * (1 + 2 ** -40)];
    assert.deepEqual(given.map(e4m3FromNumber), [bits, even, bits, bits + 1], `${low} to ${high}`);
    assert.deepEqual(given.map((x) => e4m3FromNumber(-x)), [bits, even, bits, bits + 1].map((b) => b | 0x80));
    assert.deepEqual(given.map(roundedToE4m3), [low, values[even], low, high]);
  }
  assert.deepEqual([448, 464, 1e9, -Infinity].map(e4m3FromNumber), [0x7e, 0x7e, 0x7e, 0xfe]);
  assert.equal(e4m3FromNumber(NaN), 0x7f);
});

/** All numbers from 0 to the largest, by their bits. */
function halvesAsNumbers(): Float16Array {
  const bytes = halvesOf(Uint8Array.from({ length: 0x7f }, (_, bits) => bits), "E4M3");
  return new Float16Array(bytes.buffer);
}

Deno.test("bytesFromNumbers() packs two numbers of int4 to a byte, the first in the lower half, and back", () => {
  const numbers = Int32Array.of(-8, 7, 0, -1, 3, -4);
  const bytes = bytesFromNumbers(numbers, "int4");
  assert.deepEqual([...bytes], [0x78, 0xf0, 0xc3]);
  assert.deepEqual([...numbersFromBytes(bytes, "int4")], [...numbers]);
});
