/**
 * Scans for bad values find the first one, wherever it lies with respect to words and blocks, in every type.
 */
import assert from "node:assert/strict";
import { bytesFromNumbers, heldData, type TensorData } from "../../src/ir/data.ts";
import { ITEM_BYTES, type StorageType } from "../../src/ir/dtype.ts";
import { firstNegative, firstNonFinite } from "../../src/weights/finite.ts";

const checkFinite = (data: TensorData) => firstNonFinite(data.bytes(), data.dtype);
const checkNonNegative = (data: TensorData) => firstNegative(data.bytes(), data.dtype);

function data(values: Float64Array, dtype: StorageType, misalign = 0): TensorData {
  const bytes = bytesFromNumbers(values, dtype);
  const moved = new Uint8Array(bytes.length + misalign).subarray(misalign);
  moved.set(bytes);
  return { dtype, shape: [values.length], origin: "test", bytes: () => moved };
}

const FLOATS = ["fp64", "fp32", "fp16", "bf16"] as const;
// 4096 words to a block: 2048 fp64, 4096 fp32, 8192 halves.
const PLACES = [0, 1, 2, 2047, 2048, 4095, 4096, 8191, 8192, 9000, 9001, 9002];
const LENGTH = 9003;

Deno.test("firstNonFinite() finds a lone bad value anywhere, in every type", () => {
  for (const dtype of FLOATS) {
    for (const bad of [NaN, Infinity, -Infinity]) {
      for (const index of PLACES) {
        const values = new Float64Array(LENGTH).fill(-65504);
        assert.equal(checkFinite(data(values, dtype)), null, dtype);
        values[index] = bad;
        assert.deepEqual(checkFinite(data(values, dtype)), { index, value: bad }, dtype);
        assert.deepEqual(checkFinite(data(values, dtype, 2)), { index, value: bad }, `${dtype}, misaligned`);
      }
    }
  }
});

Deno.test("firstNonFinite() reports the first of several and accepts the largest finite values", () => {
  const values = Float32Array.of(3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -0, NaN, Infinity);
  assert.deepEqual(checkFinite(heldData([2, 3], values, "test")), { index: 4, value: NaN });
  assert.equal(checkFinite(heldData([4], values.subarray(0, 4), "test")), null);
  assert.equal(
    checkFinite(heldData([2], Float64Array.of(Number.MAX_VALUE, -Number.MAX_VALUE), "test")),
    null,
  );
});

Deno.test("firstNonFinite() accepts integers whose bits would be NaN", () => {
  assert.equal(checkFinite(heldData([1], Int32Array.of(-1), "test")), null);
  assert.equal(checkFinite(heldData([1], BigInt64Array.of(-1n), "test")), null);
  assert.equal(checkFinite(heldData([0], new Float32Array(0), "test")), null);
});

Deno.test("firstNegative() finds a lone negative value anywhere, in every type", () => {
  for (const dtype of [...FLOATS, "int32", "int64"] as const) {
    for (const index of PLACES) {
      const values = new Float64Array(LENGTH).fill(1);
      assert.equal(checkNonNegative(data(values, dtype)), null, dtype);
      values[index] = -2;
      assert.deepEqual(checkNonNegative(data(values, dtype)), { index, value: -2 }, dtype);
    }
  }
});

Deno.test("firstNegative() takes -0 and NaN for what they are, and -infinity for negative", () => {
  const negativeNaN = new Float32Array(Uint32Array.of(0xffc00000, 0x80000000).buffer);
  assert.equal(checkNonNegative(heldData([2], negativeNaN, "test")), null);
  for (const dtype of FLOATS) {
    assert.equal(checkNonNegative(data(Float64Array.of(0, -0, 1), dtype)), null, dtype);
    const found = checkNonNegative(data(Float64Array.of(-0, -Infinity), dtype));
    assert.deepEqual(found, { index: 1, value: -Infinity }, dtype);
  }
  const bool: TensorData = { dtype: "bool", shape: [1], origin: "test", bytes: () => Uint8Array.of(255) };
  assert.equal(checkNonNegative(bool), null);
  assert.equal(ITEM_BYTES.bool, 1);
});
