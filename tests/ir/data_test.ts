/**
 * Conversions between element types, against rounding done the slow way: the two neighbours of a number in
 * the narrower type are found by their bits, and the nearer one is taken, of two equally near the one with an
 * even last bit, with distances as exact fractions.
 */
import assert from "node:assert/strict";
import {
  bf16FromNumber,
  bytesAs,
  bytesFromNumbers,
  elementCount,
  float64FromBytes,
  float64Of,
  float64Reader,
  float64Writer,
  heldData,
  typedView,
} from "../../src/ir/data.ts";
import { Random } from "../support.ts";

interface Format {
  readonly name: "fp16" | "bf16";
  readonly exponentBits: number;
  readonly fractionBits: number;
}

const FORMATS: readonly Format[] = [
  { name: "fp16", exponentBits: 5, fractionBits: 10 },
  { name: "bf16", exponentBits: 8, fractionBits: 7 },
];

/** The value of positive finite bits, or of infinity's as the next power of two, exactly in float64. */
function valueOfBits(bits: number, { exponentBits, fractionBits }: Format): number {
  const bias = 2 ** (exponentBits - 1) - 1;
  const exponent = bits >> fractionBits;
  const fraction = bits % 2 ** fractionBits;
  return exponent === 0
    ? fraction * 2 ** (1 - bias - fractionBits)
    : (2 ** fractionBits + fraction) * 2 ** (exponent - bias - fractionBits);
}

/** Rounding to nearest even, by definition. Every sum and difference here is exact in float64. */
function slowBits(value: number, format: Format): number {
  const { exponentBits, fractionBits } = format;
  const sign = value < 0 || Object.is(value, -0) ? 2 ** (exponentBits + fractionBits) : 0;
  const size = Math.abs(value);
  const infinity = (2 ** exponentBits - 1) * 2 ** fractionBits;
  if (size === Infinity) return sign + infinity;
  let [low, high] = [0, infinity];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (valueOfBits(middle, format) <= size) low = middle;
    else high = middle;
  }
  if (size >= valueOfBits(infinity, format)) return sign + infinity;
  const [below, above] = [size - valueOfBits(low, format), valueOfBits(high, format) - size];
  const nearest = below < above ? low : above < below ? high : low % 2 === 0 ? low : high;
  return sign + nearest;
}

/** Every value of the format, every tie between two, and their float64 and float32 neighbours. */
function* interesting(format: Format): Generator<number> {
  const infinity = (2 ** format.exponentBits - 1) * 2 ** format.fractionBits;
  const step = format.name === "fp16" ? 7 : 5;
  for (let bits = 0; bits < infinity; bits += bits < 300 || bits > infinity - 300 ? 1 : step) {
    const [value, next] = [valueOfBits(bits, format), valueOfBits(bits + 1, format)];
    const tie = value + (next - value) / 2;
    for (const x of [value, tie]) {
      for (const nudge of [0, 2 ** -52, -(2 ** -52), 2 ** -26, -(2 ** -26), 2 ** -23, -(2 ** -23)]) {
        yield x + x * nudge;
        yield -(x + x * nudge);
      }
    }
  }
}

const bitsOf = (values: Float64Array | Float32Array, { name }: Format) =>
  new Uint16Array(bytesFromNumbers(values, name).slice().buffer);

for (const format of FORMATS) {
  Deno.test(`bytesFromNumbers() rounds float64 to ${format.name} once, to nearest even`, () => {
    const values = Float64Array.from([
      ...interesting(format),
      Infinity,
      -Infinity,
      0,
      -0,
      5e-324,
      1e308,
      -1e308,
    ]);
    const bits = bitsOf(values, format);
    values.forEach((value, i) => {
      if (bits[i] !== slowBits(value, format)) {
        assert.fail(`${value}: ${bits[i]}, not ${slowBits(value, format)}`);
      }
    });
  });

  Deno.test(`bytesFromNumbers() rounds float32 to ${format.name} as it rounds the same float64`, () => {
    const random = new Random(1);
    const values = Float32Array.from({ length: 5000 }, () => random.normal() * 2 ** random.integer(-30, 16));
    assert.deepEqual(bitsOf(values, format), bitsOf(Float64Array.from(values), format));
  });

  Deno.test(`float64FromBytes() reads every ${format.name} back to its own bits`, () => {
    const all = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
    const numbers = float64FromBytes(new Uint8Array(all.buffer), format.name);
    const back = bitsOf(numbers, format);
    all.forEach((bits, i) => {
      if (Number.isNaN(numbers[i])) return;
      if (back[i] !== bits) assert.fail(`${bits} came back as ${back[i]}`);
    });
    assert.ok(
      Number.isNaN(float64FromBytes(bytesFromNumbers(Float64Array.of(NaN), format.name), format.name)[0]),
    );
  });
}

Deno.test("bf16FromNumber() rounds once where a detour over float32 would round twice", () => {
  const tie = 1 + 2 ** -8;
  assert.equal(bf16FromNumber(tie), 0x3f80);
  assert.equal(bf16FromNumber(tie + 2 ** -40), 0x3f81);
  assert.equal(bf16FromNumber(3 * 2 ** -8 + 1 - 2 ** -40), 0x3f81);
  assert.equal(bf16FromNumber(-tie - 2 ** -40), 0xbf81);
});

Deno.test("bytesAs() gives the bytes themselves where the type is the same", () => {
  const data = heldData([3], Float32Array.of(1, 2, 3), "x");
  assert.equal(bytesAs(data, "fp32"), data.bytes());
});

Deno.test("bytesAs() goes between every two types that hold the values", () => {
  const values = [0, 1, 1, 0, 1];
  const types = ["fp64", "fp32", "fp16", "bf16", "int32", "int64", "bool"] as const;
  for (const from of types) {
    const bytes = bytesFromNumbers(Float64Array.from(values), from);
    for (const to of types) {
      const data = { dtype: from, shape: [5], origin: "x", bytes: () => bytes };
      assert.deepEqual([...float64FromBytes(bytesAs(data, to), to)], values, `${from} to ${to}`);
    }
  }
});

Deno.test("bytesAs() converts a tensor of many pieces as it does all at once", () => {
  const values = Float32Array.from({ length: 40_001 }, (_, i) => Math.sin(i) * 2 ** (i % 30 - 25));
  for (const from of ["fp64", "fp32", "fp16", "bf16"] as const) {
    const bytes = bytesFromNumbers(values, from);
    const data = { dtype: from, shape: [values.length], origin: "x", bytes: () => bytes };
    for (const to of ["fp64", "fp32", "fp16", "bf16"] as const) {
      assert.deepEqual(
        bytesAs(data, to),
        bytesFromNumbers(float64FromBytes(bytes, from), to),
        `${from} to ${to}`,
      );
    }
  }
});

Deno.test("float64Reader() and float64Writer() move parts of a tensor, from any element on", () => {
  for (const dtype of ["fp64", "fp32", "fp16", "bf16"] as const) {
    const bytes = bytesFromNumbers(Float64Array.of(1, 2, 3, 4, 5), dtype);
    const part = new Float64Array(2);
    float64Reader(bytes, dtype)(part, 1);
    assert.deepEqual([...part], [2, 3], dtype);
    float64Writer(bytes, dtype)(part.map((value) => -value), 3);
    assert.deepEqual([...float64FromBytes(bytes, dtype)], [1, 2, 3, -2, -3], dtype);
  }
});

Deno.test("bytesFromNumbers() takes any number but zero for true", () => {
  assert.deepEqual([...bytesFromNumbers(Float64Array.of(0, -0, 0.5, -3, NaN), "bool")], [0, 0, 1, 1, 1]);
});

Deno.test("typedView() copies only where the address does not allow a view", () => {
  const bytes = new Uint8Array(new ArrayBuffer(12));
  bytes.set(new Uint8Array(Float32Array.of(1, 2).buffer), 4);
  assert.equal(typedView(bytes.subarray(4), "fp32").buffer, bytes.buffer);
  bytes.copyWithin(1, 4);
  assert.deepEqual([...typedView(bytes.subarray(1, 9), "fp32")], [1, 2]);
});

Deno.test("heldData() holds the array itself, and refuses one of another length", () => {
  const array = Float32Array.of(1, 2, 3, 4);
  const data = heldData([2, 2], array.subarray(0), "x");
  assert.equal(data.bytes().buffer, array.buffer);
  assert.deepEqual([...float64Of(data)], [1, 2, 3, 4]);
  assert.throws(() => heldData([3], array, "weights"), /weights: 4 values for the shape \[3\]/);
  assert.equal(elementCount([]), 1);
  assert.equal(heldData([1], BigInt64Array.of(1n), "i").dtype, "int64");
});

Deno.test("the largest int64 comes back of the float64 that it is read as", () => {
  const ends = BigInt64Array.of(-(2n ** 63n), -1n, 2n ** 63n - 1n);
  const wide = float64FromBytes(new Uint8Array(ends.buffer), "int64");
  assert.deepEqual(new BigInt64Array(bytesFromNumbers(wide, "int64").slice().buffer), ends);
});
