/** Eight-bit floating point, by the tables of OFP8 and of the FNUZ variants, and weights that need a scale. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { float64Of } from "../../src/ir/data.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";
import { type FixtureTensor, fp32, goodFile, refuses, withFolder } from "./fixtures.ts";

/** Bits and values: the least, one, the largest, what is not a number. From the formats' papers, not from this code. */
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

Deno.test("tensor() refuses a weight of eight bits beside its scale, and reads those without", () => {
  const eight = (dtype: string) => ({ dtype, shape: [1], data: new Uint8Array(1) });
  for (const scale of ["a.weight_scale", "a.scale_weight", "a.weight_scale_inv", "a.SCB", "a.weight.scale"]) {
    for (const dtype of ["F8_E4M3", "I8"]) {
      withTensors({ "a.weight": eight(dtype), [scale]: fp32([1], [2]), "b.count": eight("U8") }, (path) => {
        const checkpoint = openCheckpoint(path);
        refuses(
          () => checkpoint.tensor("a.weight"),
          "is quantized",
          `multiplied with "${scale}"`,
          "dequantized",
        );
        assert.equal(checkpoint.tensor("b.count").dtype, "uint8");
      });
    }
  }
});
