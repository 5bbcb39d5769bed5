/**
 * Values that a narrower type cannot hold are refused where they are rounded, not left to be NaN in an
 * engine.
 */
import assert from "node:assert/strict";
import { bytesAs, float64FromBytes, heldData } from "../../src/ir/data.ts";
import { foldIntoWeight } from "../../src/weights/derived/fold.ts";
import { refuses } from "../support.ts";

const mask = (...values: number[]) => heldData([values.length], Float64Array.from(values), "mask");

Deno.test("bytesAs() refuses a finite value that is too large for the type", () => {
  refuses(() => bytesAs(mask(0, -1e9), "fp16"), "mask: element 1, -1000000000, is too large for fp16");
  refuses(() => bytesAs(mask(65520), "fp16"), "too large");
  refuses(() => bytesAs(mask(1e39), "fp32"), "too large");
  refuses(() => bytesAs(mask(3.4e38), "bf16"), "too large");
  // Wherever it stands: in a later piece, in the odd one at the end.
  const long = (at: number) => mask(...Array.from({ length: 20_001 }, (_, i) => i === at ? 7e4 : 1));
  for (const at of [17_000, 20_000]) refuses(() => bytesAs(long(at), "fp16"), `mask: element ${at}, 70000`);
});

Deno.test("bytesAs() keeps infinities and the largest values of each type", () => {
  assert.deepEqual([...float64FromBytes(bytesAs(mask(-Infinity, 65504), "fp16"), "fp16")], [
    -Infinity,
    65504,
  ]);
  assert.deepEqual([...float64FromBytes(bytesAs(mask(Infinity), "bf16"), "bf16")], [Infinity]);
});

Deno.test("foldIntoWeight() refuses a fold that overflows, and names the weight", () => {
  const weight = heldData([1, 2], Float32Array.of(1, 300), "qkv.weight");
  const affine = { scale: Float64Array.of(1, 1000), shift: new Float64Array(2) };
  const { weight: folded } = foldIntoWeight(weight, null, affine);
  refuses(() => bytesAs(folded, "fp16"), "qkv.weight, normalization folded in: element 1, 300000");
});
