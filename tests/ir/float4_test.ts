/** Four-bit floats: every number of the type, what lies between, and the bits. */
import assert from "node:assert/strict";
import { bytesFromNumbers, numbersFromBytes } from "../../src/ir/data.ts";
import { e2m1FromNumber, e2m1Value, roundedToE2m1 } from "../../src/ir/float4.ts";

const ALL = Array.from({ length: 16 }, (_, bits) => bits);

Deno.test("E2M1 has 15 numbers, which its own rounding leaves alone", () => {
  assert.deepEqual(ALL.slice(0, 8).map(e2m1Value), [0, 0.5, 1, 1.5, 2, 3, 4, 6]);
  for (const bits of ALL.filter((bits) => bits !== 8)) {
    assert.equal(roundedToE2m1(e2m1Value(bits)), e2m1Value(bits));
    assert.equal(e2m1FromNumber(e2m1Value(bits)), bits);
  }
});

Deno.test("roundedToE2m1() takes the nearest, of two the one with an even mantissa, and 6 for more", () => {
  const ties = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 100, -2.5, -5.1];
  assert.deepEqual(ties.map(roundedToE2m1), [0, 1, 1, 2, 2, 4, 4, 6, -2, -6]);
  for (let x = -7; x <= 7; x += 1 / 64) {
    const nearest = Math.min(...ALL.map((bits) => Math.abs(e2m1Value(bits) - x)));
    assert.equal(Math.abs(roundedToE2m1(x) - x), nearest, `${x}`);
  }
});

Deno.test("fp4 lies two to a byte, the first in its lower half", () => {
  const numbers = Float32Array.of(0.5, -6, 3, 0);
  const bytes = bytesFromNumbers(numbers, "fp4");
  assert.deepEqual([...bytes], [0xf1, 0x05]);
  assert.deepEqual([...numbersFromBytes(bytes, "fp4")], [...numbers]);
});
