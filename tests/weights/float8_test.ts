/** Eight-bit floating point, by the tables of OFP8 and of the FNUZ variants. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { float64Of } from "../../src/ir/data.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";
import { type FixtureTensor, goodFile, withFolder } from "./fixtures.ts";

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
