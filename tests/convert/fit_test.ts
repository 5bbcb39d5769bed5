/** The algebra of a conversion beside direct solutions in float64, on problems small enough to write out. */
import assert from "node:assert/strict";
import {
  addSums,
  affineSums,
  besideRegression,
  emptySums,
  leastSquares,
  lessProduct,
  Moments,
  type Product,
  ridgeRegression,
  type Sums,
  total,
} from "../../src/convert/fit.ts";
import type { Rows } from "../../src/convert/samples.ts";
import { Random } from "../support.ts";

const [COUNT, CHANNELS, OUTPUTS] = [40, 5, 3];

function rowsOf(values: Float32Array, channels: number): Rows {
  return { values, channels, count: values.length / channels, first: null };
}

/** The sums that ONNX Runtime would give, one row at a time. */
function sumsOf(x: Rows, targets: Rows): Sums {
  const sums = emptySums(x.channels, targets.channels);
  const size = x.channels + 1;
  for (let row = 0; row < x.count; row++) {
    const one = [...x.values.subarray(row * x.channels, (row + 1) * x.channels), 1];
    const wanted = targets.values.subarray(row * targets.channels, (row + 1) * targets.channels);
    one.forEach((a, i) => one.forEach((b, j) => sums.gram[i * size + j]! += a * b));
    wanted.forEach((a, o) => one.forEach((b, j) => sums.cross[o * size + j]! += a * b));
    wanted.forEach((value, o) => sums.squares[o]! += value * value);
  }
  return sums;
}

/** Gaussian elimination with pivots: `a x = b`, by rows. */
function solved(a: readonly (readonly number[])[], b: readonly number[]): number[] {
  const rows = a.map((row, i) => [...row, b[i]!]);
  const n = rows.length;
  for (let k = 0; k < n; k++) {
    const best = rows.findIndex((row, i) =>
      i >= k && Math.abs(row[k]!) === Math.max(...rows.slice(k).map((row) => Math.abs(row[k]!)))
    );
    [rows[k], rows[best]] = [rows[best]!, rows[k]!];
    for (let i = k + 1; i < n; i++) {
      const factor = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j <= n; j++) rows[i]![j]! -= factor * rows[k]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    const rest = x.reduce((sum, value, j) => j > i ? sum + rows[i]![j]! * value : sum, 0);
    x[i] = (rows[i]![n]! - rest) / rows[i]![i]!;
  }
  return x;
}

function problem(seed: number) {
  const random = new Random(seed);
  const x = rowsOf(
    random.normals([COUNT, CHANNELS]).map((value, i) => Math.fround(value + i % CHANNELS)),
    CHANNELS,
  );
  const targets = rowsOf(random.normals([COUNT, OUTPUTS]), OUTPUTS);
  const weight = Float64Array.from({ length: OUTPUTS * CHANNELS }, () => random.normal());
  const bias = Float64Array.from({ length: OUTPUTS }, () => random.normal());
  return { x, targets, weight, bias };
}

/** A ridge regression that pulls towards a product in place of nothing. */
function towards(sums: Sums, from: Product, ridge: number): Product {
  const step = ridgeRegression(lessProduct(sums, from), { ridge, hasBias: from.bias !== null });
  return {
    weight: from.weight.map((value, i) => value + step.weight[i]!),
    bias: from.bias && from.bias.map((value, i) => value + step.bias![i]!),
  };
}

const near = (a: ArrayLike<number>, b: ArrayLike<number>, what: string, tolerance = 1e-9) => {
  assert.equal(a.length, b.length);
  for (let i = 0; i < a.length; i++) {
    assert.ok(
      Math.abs(a[i]! - b[i]!) <= tolerance * (1 + Math.abs(b[i]!)),
      `${what} ${i}: ${a[i]}, not ${b[i]}`,
    );
  }
};

Deno.test("ridgeRegression() with a bias solves the normal equations of what it says", () => {
  for (const ridge of [1e-3, 0.5]) {
    const { x, targets, weight, bias } = problem(1);
    const sums = sumsOf(x, targets);
    const size = CHANNELS + 1;
    const mean = Array.from({ length: CHANNELS }, (_, c) => sums.gram[c * size + CHANNELS]! / COUNT);
    const centred = Array.from(
      { length: CHANNELS },
      (_, i) => sums.gram[i * size + i]! - COUNT * mean[i]! ** 2,
    );
    const lambda = ridge * centred.reduce((a, b) => a + b) / CHANNELS;
    const found = towards(sums, { weight, bias }, ridge);
    for (let o = 0; o < OUTPUTS; o++) {
      // In [W, b] together: the ridge pulls W to where it was, b is free.
      const a = Array.from(
        { length: size },
        (_, i) =>
          Array.from(
            { length: size },
            (_, j) => sums.gram[i * size + j]! + (i === j && i < CHANNELS ? lambda : 0),
          ),
      );
      const b = Array.from(
        { length: size },
        (_, i) => sums.cross[o * size + i]! + (i < CHANNELS ? lambda * weight[o * CHANNELS + i]! : 0),
      );
      const expected = solved(a, b);
      near(found.weight.subarray(o * CHANNELS, (o + 1) * CHANNELS), expected.slice(0, CHANNELS), "weight");
      near([found.bias![o]!], [expected[CHANNELS]!], "bias");
    }
  }
});

Deno.test("ridgeRegression() without a bias gives none, and fits what is linear exactly", () => {
  const { x, weight } = problem(2);
  const wanted = new Float32Array(COUNT * OUTPUTS);
  for (let row = 0; row < COUNT; row++) {
    for (let o = 0; o < OUTPUTS; o++) {
      for (let c = 0; c < CHANNELS; c++) {
        wanted[row * OUTPUTS + o]! += weight[o * CHANNELS + c]! * x.values[row * CHANNELS + c]!;
      }
    }
  }
  const sums = sumsOf(x, rowsOf(wanted, OUTPUTS));
  const found = ridgeRegression(sums, { ridge: 1e-12, hasBias: false });
  assert.equal(found.bias, null);
  near(found.weight, weight, "weight", 1e-5); // the targets are rounded to float32
  assert.ok(total(lessProduct(sums, found).squares) < 1e-10 * total(sums.squares));
});

Deno.test("ridgeRegression() leaves what fewer rows than channels do not tell as it was", () => {
  const { weight } = problem(3);
  const x = rowsOf(Float32Array.of(1, 0, 0, 0, 0), CHANNELS);
  const sums = sumsOf(x, rowsOf(Float32Array.of(7, 8, 9), OUTPUTS));
  const { weight: found } = towards(sums, { weight, bias: null }, 1e-6);
  near(found.filter((_, i) => i % CHANNELS > 0), weight.filter((_, i) => i % CHANNELS > 0), "untold");
  near(found.filter((_, i) => i % CHANNELS === 0), [7, 8, 9], "told", 1e-4);
});

Deno.test("lessProduct() leaves the error row by row, in squares and against the rows", () => {
  const { x, targets, weight, bias } = problem(4);
  const wrong = new Float32Array(COUNT * OUTPUTS);
  for (let row = 0; row < COUNT; row++) {
    for (let o = 0; o < OUTPUTS; o++) {
      let y = bias[o]!;
      for (let c = 0; c < CHANNELS; c++) y += weight[o * CHANNELS + c]! * x.values[row * CHANNELS + c]!;
      wrong[row * OUTPUTS + o] = targets.values[row * OUTPUTS + o]! - y;
    }
  }
  const [found, direct] = [
    lessProduct(sumsOf(x, targets), { weight, bias }),
    sumsOf(x, rowsOf(wrong, OUTPUTS)),
  ];
  near(found.squares, direct.squares, "squares", 1e-6); // what is left is rounded to float32
  near(found.cross, direct.cross, "cross", 1e-5);
});

Deno.test("affineSums() are the sums of s x + t; addSums() of parts are those of all", () => {
  const { x, targets, weight, bias } = problem(5);
  const [scale, shift] = [weight.slice(0, CHANNELS), weight.slice(CHANNELS, 2 * CHANNELS)];
  const direct = emptySums(CHANNELS, OUTPUTS);
  const size = CHANNELS + 1;
  for (let row = 0; row < COUNT; row++) {
    const one = Array.from(
      { length: size },
      (_, c) => c === CHANNELS ? 1 : scale[c]! * x.values[row * CHANNELS + c]! + shift[c]!,
    );
    one.forEach((a, i) => one.forEach((b, j) => direct.gram[i * size + j]! += a * b));
    for (let o = 0; o < OUTPUTS; o++) {
      one.forEach((b, j) => direct.cross[o * size + j]! += targets.values[row * OUTPUTS + o]! * b);
    }
  }
  const part = (rows: Rows, from: number, to: number) =>
    rowsOf(rows.values.slice(from * rows.channels, to * rows.channels), rows.channels);
  const parts = sumsOf(part(x, 0, 13), part(targets, 0, 13));
  addSums(parts, sumsOf(part(x, 13, COUNT), part(targets, 13, COUNT)));
  const found = affineSums(parts, { scale, shift });
  near(found.gram, direct.gram, "gram");
  near(found.cross, direct.cross, "cross");
  near(found.squares, sumsOf(x, targets).squares, "squares");
  assert.ok(bias.length === OUTPUTS);
});

Deno.test("leastSquares() finds a scale and a shift, and of a constant channel the shift alone", () => {
  const { x } = problem(6);
  const values = x.values.map((value, i) => i % CHANNELS === 2 ? 3 : value);
  const y = values.map((value, i) => i % CHANNELS === 2 ? 5 : 2 * value - i % CHANNELS);
  const moments = new Moments(CHANNELS);
  moments.add(rowsOf(values, CHANNELS), rowsOf(y, CHANNELS));
  const { scale, shift, constant } = leastSquares(moments);
  near(scale, [2, 2, 0, 2, 2], "scale", 1e-5);
  near(shift, [0, -1, 5, -3, -4], "shift", 1e-5);
  assert.equal(constant, 1);
});

Deno.test("besideRegression() solves for scale and product together, as the normal equations do", () => {
  const { x, targets: z } = problem(7);
  const { targets: y } = problem(8);
  const ridge = 0.05;
  const stacked = new Float32Array(COUNT * 2 * OUTPUTS);
  for (let row = 0; row < COUNT; row++) {
    stacked.set(z.values.subarray(row * OUTPUTS, (row + 1) * OUTPUTS), 2 * row * OUTPUTS);
    stacked.set(y.values.subarray(row * OUTPUTS, (row + 1) * OUTPUTS), (2 * row + 1) * OUTPUTS);
  }
  const sums = sumsOf(x, rowsOf(stacked, 2 * OUTPUTS));
  const products = Float64Array.from(
    { length: OUTPUTS },
    (_, c) => z.values.reduce((sum, value, i) => i % OUTPUTS === c ? sum + value * y.values[i]! : sum, 0),
  );
  const alone = new Float64Array(OUTPUTS).fill(1e-9); // any scale found is larger, of either sign
  const size = CHANNELS + 1;
  const mean = Array.from({ length: CHANNELS }, (_, c) => sums.gram[c * size + CHANNELS]! / COUNT);
  const lambda = ridge / CHANNELS *
    mean.reduce((sum, m, i) => sum + sums.gram[i * size + i]! - COUNT * m * m, 0);
  for (let c = 0; c < OUTPUTS; c++) {
    const rows = Array.from(
      { length: COUNT },
      (_, row) => [
        ...x.values.subarray(row * CHANNELS, (row + 1) * CHANNELS),
        1,
        z.values[row * OUTPUTS + c]!,
      ],
    );
    const a = Array.from(
      { length: size + 1 },
      (_, i) =>
        Array.from(
          { length: size + 1 },
          (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, i === j && i < CHANNELS ? lambda : 0),
        ),
    );
    const b = Array.from(
      { length: size + 1 },
      (_, i) => rows.reduce((sum, values, row) => sum + values[i]! * y.values[row * OUTPUTS + c]!, 0),
    );
    const expected = solved(a, b);
    const sign = new Float64Array(OUTPUTS).fill(Math.sign(expected.at(-1)!) * 1e-9);
    const found = besideRegression({ sums, products }, { ridge, scale: sign, isFree: true, hasBias: true });
    near([found.scale[c]!], [expected.at(-1)!], "scale");
    near(
      found.product.weight.subarray(c * CHANNELS, (c + 1) * CHANNELS),
      expected.slice(0, CHANNELS),
      "product",
    );
    near([found.product.bias![c]!], [expected[CHANNELS]!], "shift");
  }
  for (const [scale, isFree] of [[alone, false], [new Float64Array(OUTPUTS), true]] as const) {
    const found = besideRegression({ sums, products }, { ridge, scale, isFree, hasBias: true });
    assert.deepEqual(found.scale, scale); // 0 is a constant channel's, and stays
  }
});
