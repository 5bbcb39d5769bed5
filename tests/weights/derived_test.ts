/**
 * Weights made of others: every kind against a plain evaluation of its definition, on numbers with so few
 * digits that float64 is exact in whatever order; rounding once, bit for bit; folds of folds; one pass over
 * what is read; and what is told from how a weight is made.
 */
import assert from "node:assert/strict";
import {
  bytesAs,
  bytesFromNumbers,
  elementCount,
  float64Of,
  heldData,
  type TensorData,
} from "../../src/ir/data.ts";
import type { Precision, StorageType } from "../../src/ir/dtype.ts";
import { derivationOf } from "../../src/weights/derived/derivation.ts";
import {
  affineData,
  computedData,
  filledData,
  isZero,
  joinedData,
  lessLastData,
  paddedData,
  partOfData,
  productData,
  quantizedData,
  reshapedData,
  sumData,
  transposedData,
  withPart,
} from "../../src/weights/derived/derive.ts";
import { foldErrorBound, foldIntoOutputs, foldIntoWeight } from "../../src/weights/derived/fold.ts";
import { partsOf } from "../../src/weights/derived/rows.ts";
import { Random } from "../support.ts";

/** Eighths between -4 and 4: products of three and sums of thousands are exact in float64. */
function held(random: Random, shape: readonly number[], name = "w"): TensorData {
  const values = Float32Array.from({ length: elementCount(shape) }, () => random.integer(-32, 32) / 8);
  return heldData(shape, values, name);
}

const vector = (random: Random, length: number) =>
  Float64Array.from({ length }, () => random.pick([-2, -1, -0.5, 0.25, 1, 1.5]));

/** A tensor of `shape` whose element at each place is what `value` says of it. */
function plain(shape: readonly number[], value: (place: readonly number[]) => number): number[] {
  return Array.from({ length: elementCount(shape) }, (_, i) => {
    const place = shape.map((size, axis) => Math.floor(i / elementCount(shape.slice(axis + 1))) % size);
    return value(place) + 0;
  });
}

/** What reads elements of a tensor by their place. */
function at(data: TensorData): (place: readonly number[]) => number {
  const values = float64Of(data);
  return (place) => values[place.reduce((index, entry, axis) => index * data.shape[axis]! + entry, 0)]!;
}

/** Asserts the shape and the values, minus zero being zero. */
function means(
  data: TensorData,
  shape: readonly number[],
  value: (place: readonly number[]) => number,
): void {
  assert.deepEqual(data.shape, shape);
  assert.deepEqual([...float64Of(data)].map((x) => x + 0), plain(shape, value));
}

const moved = (place: readonly number[], axis: number, by: number) => place.with(axis, place[axis]! + by);

for (const axis of [0, 1, 2]) {
  Deno.test(`partOfData(), joinedData(), withPart() and paddedData() do along axis ${axis} what they say`, () => {
    const random = new Random(axis);
    const shape = [5, 4, 6];
    const [a, b] = [held(random, shape), held(random, shape.with(axis, 2))];
    const [ofA, ofB] = [at(a), at(b)];
    const whole = shape[axis]!;
    means(partOfData(a, { axis, start: 1, size: 3 }), shape.with(axis, 3), (p) => ofA(moved(p, axis, 1)));
    means(
      joinedData([a, b], axis),
      shape.with(axis, whole + 2),
      (p) => p[axis]! < whole ? ofA(p) : ofB(moved(p, axis, -whole)),
    );
    means(
      withPart(a, b, { axis, start: 1 }),
      shape,
      (p) => p[axis]! === 1 || p[axis]! === 2 ? ofB(moved(p, axis, -1)) : ofA(p),
    );
    means(
      paddedData(a, { axis, extra: 3, first: 1 }),
      shape.with(axis, whole + 3),
      (p) => p[axis]! < whole ? ofA(p) : p[axis] === whole ? 1 : 0,
    );
  });

  Deno.test(`affineData() and lessLastData() map axis ${axis}`, () => {
    const random = new Random(10 + axis);
    const shape = [4, 8, 2];
    const a = held(random, shape);
    const ofA = at(a);
    const size = shape[axis]!;
    const [scale, shift] = [vector(random, size), vector(random, size)];
    // A power of two of them, so that the mean is exact.
    const mean = (p: readonly number[]) =>
      Array.from({ length: size }, (_, c) => ofA(p.with(axis, c))).reduce((x, y) => x + y) / size;
    means(affineData(a, { axis, scale, shift }), shape, (p) => scale[p[axis]!]! * ofA(p) + shift[p[axis]!]!);
    means(
      affineData(a, { axis, scale, shift: heldData([size], shift, "t"), centred: true }),
      shape,
      (p) => scale[p[axis]!]! * (ofA(p) - mean(p)) + shift[p[axis]!]!,
    );
    means(lessLastData(a, axis), shape.with(axis, size - 1), (p) => ofA(p) - ofA(p.with(axis, size - 1)));
  });
}

Deno.test("reshapedData(), transposedData(), sumData() and productData() are what they are called", () => {
  const random = new Random(20);
  // More than one block and one piece, and no multiple of either.
  const [a, b, c] = [held(random, [70, 600]), held(random, [70, 600]), held(random, [600, 9])];
  const [ofA, ofB, ofC] = [at(a), at(b), at(c)];
  means(reshapedData(a, [70, 20, 30]), [70, 20, 30], ([o, i, j]) => ofA([o!, i! * 30 + j!]));
  assert.throws(() => reshapedData(a, [600, 70]), /other rows/);
  means(transposedData(a), [600, 70], ([i, j]) => ofA([j!, i!]));
  means(sumData([a, b, a]), [70, 600], (p) => 2 * ofA(p) + ofB(p));
  const dot = (i: number, j: number) =>
    Array.from({ length: 600 }, (_, m) => ofA([i, m]) * ofC([m, j])).reduce((x, y) => x + y);
  means(productData(a, c), [70, 9], ([i, j]) => dot(i!, j!));
});

Deno.test("computedData() computes once, of values with their shapes", () => {
  let runs = 0;
  const a = held(new Random(21), [2, 3]);
  const data = computedData([a], {
    name: "flipped",
    shape: [3],
    dtype: "int32",
    compute: ([value]) => {
      runs++;
      assert.deepEqual(value!.shape, [2, 3]);
      return Float64Array.of(3, 2, 1);
    },
  });
  for (const _ of [1, 2]) assert.deepEqual([...float64Of(joinedData([data, data], 0))], [3, 2, 1, 3, 2, 1]);
  assert.equal(runs, 1);
});

Deno.test("quantizedData() keeps neighbours of one sign within what they may be together", () => {
  const weight = heldData([2, 4], Float64Array.of(64.5, 63.5, 0, -127, -254, 3, 1, 0), "w");
  const { values, scale } = quantizedData(weight, {
    to: "int8",
    each: "row",
    steps: "fp32",
    mostTogether: 128,
  });
  assert.equal(values.dtype, "int8");
  assert.deepEqual([...float64Of(values)], [65, 63, 0, -127, -127, 2, 1, 0]);
  assert.deepEqual([...float64Of(scale)], [1, 2]);
});

Deno.test("quantizedData() finds steps of rows, blocks and whole weights as it reads them once, or twice for one step", () => {
  const values = Float32Array.of(1, -2, 0.5, 4, 0, 0, 448, -1);
  let reads = 0;
  const counted = { ...heldData([2, 4], values, "w") };
  const { bytes } = counted;
  const w = { ...counted, bytes: () => (reads++, bytes()) };
  const both = (how: Parameters<typeof quantizedData>[1]) => {
    reads = 0;
    const { values, scale } = quantizedData(w, how);
    const numbers = [...float64Of(values)];
    const made = { shape: scale.shape, steps: [...float64Of(scale)], numbers };
    // Steps that are asked for first are read off the weight as well.
    assert.deepEqual([...float64Of(quantizedData(w, how).scale)], made.steps);
    return made;
  };
  assert.deepEqual(both({ to: "fp8", each: "weight", steps: "fp16" }), {
    shape: [],
    steps: [1],
    numbers: [1, -2, 0.5, 4, 0, 0, 448, -1],
  });
  const half = Math.f16round(448 / 7);
  const rows = both({ to: "int4", each: 2, steps: "fp16" });
  assert.deepEqual(rows.shape, [2, 2]);
  assert.deepEqual(rows.steps, [Math.f16round(2 / 7), Math.f16round(4 / 7), 1, half]);
  assert.deepEqual(rows.numbers, [4, -7, 1, 7, 0, 0, 7, 0]);
  assert.deepEqual(both({ to: "fp8", each: "row", steps: "fp32" }).steps, [Math.fround(4 / 448), 1]);
  assert.equal(reads, 2);
  // 2 / 6, 4 / 6, 0 and 448 / 6 as numbers of E4M3 of a quarter, with which the last is at most 448.
  const blocks = both({ to: "fp4", each: 2, steps: "fp8" });
  assert.deepEqual(blocks.steps, [1.375, 2.75, 0, 288]);
  assert.deepEqual(blocks.numbers, [3, -6, 0.5, 6, 0, 0, 6, 0]);
  assert.equal(float64Of(quantizedData(w, { to: "fp4", each: 2, steps: "fp8" }).unit!)[0], 0.25);
});

Deno.test("partOfData() of a quantized weight is of its step, whatever is asked for first", () => {
  const w = heldData([4, 2], Float32Array.of(1, -2, 3, 448, 8, 0.5, -16, 4), "w");
  for (const to of ["int8", "fp8"] as const) {
    const whole = quantizedData(w, { to, each: "weight", steps: "fp16" });
    const all = [...bytesAs(whole.values, to)];
    const { values, scale } = quantizedData(w, { to, each: "weight", steps: "fp16" });
    const parts = [2, 0].map((start) => partOfData(values, { axis: 0, start, size: 2 }));
    assert.deepEqual(parts.map((part) => [...bytesAs(part, to)]), [all.slice(4), all.slice(0, 4)]);
    assert.deepEqual(float64Of(scale), float64Of(whole.scale));
  }
});

/**
 * Affines on the channels and on the outputs of a weight, with a plain evaluation of what they make of it.
 */
function foldCase(seed: number, { shape, groups = 1, columns = false, rows = false }: {
  shape: readonly number[];
  groups?: number;
  columns?: boolean;
  rows?: boolean;
}) {
  const random = new Random(seed);
  const [outputs, own, ...kernel] = shape as [number, number, ...number[]];
  const [weight, bias] = [held(random, shape), held(random, [outputs], "b")];
  const inputs = {
    scale: vector(random, own * groups),
    shift: vector(random, own * groups),
    centred: columns,
  };
  const results = { scale: vector(random, outputs), shift: vector(random, outputs), centred: rows };
  const [w, b] = [at(weight), at(bias)];
  const channel = (o: number, c: number) => Math.floor(o * groups / outputs) * own + c;
  const scaled = (p: readonly number[]) => w(p) * inputs.scale[channel(p[0]!, p[1]!)]!;
  const along = (axis: number, value: (p: readonly number[]) => number) => (p: readonly number[]) =>
    Array.from({ length: shape[axis]! }, (_, i) => value(p.with(axis, i))).reduce((x, y) => x + y) /
    shape[axis]!;
  const ofColumns = (p: readonly number[]) => columns ? scaled(p) - along(1, scaled)(p) : scaled(p);
  const ofRows = (p: readonly number[]) => rows ? ofColumns(p) - along(0, ofColumns)(p) : ofColumns(p);
  const sum = ([o]: readonly number[]) =>
    plain([own, ...kernel], (q) => w([o!, ...q]) * inputs.shift[channel(o!, q[0]!)]!).reduce((x, y) =>
      x + y
    ) + b([o!]);
  const mean = rows ? along(0, sum)([0]) : 0;
  return {
    weight,
    bias,
    inputs: { ...inputs, groups },
    results,
    expectedWeight: (p: readonly number[]) => results.scale[p[0]!]! * ofRows(p),
    expectedBias: ([o]: readonly number[]) => results.scale[o!]! * (sum([o!]) - mean) + results.shift[o!]!,
  };
}

const FOLDS = {
  "a linear": { shape: [8, 16] },
  "a linear, both sides centred": { shape: [8, 16], columns: true, rows: true },
  "a convolution, both sides centred": { shape: [4, 8, 3, 2], columns: true, rows: true },
  "a convolution in groups": { shape: [8, 2, 3, 3], groups: 4 },
};
for (const [name, options] of Object.entries(FOLDS)) {
  Deno.test(`foldIntoWeight() and foldIntoOutputs() of ${name} are their equation`, () => {
    const { weight, bias, inputs, results, ...expected } = foldCase(30, options);
    const first = foldIntoWeight(weight, bias, inputs);
    const both = foldIntoOutputs(first.weight, first.bias, results);
    means(both.bias, [weight.shape[0]!], expected.expectedBias);
    means(both.weight, weight.shape, expected.expectedWeight);
    // The other way about, and in halves.
    const last = foldIntoOutputs(weight, bias, results);
    const again = foldIntoWeight(last.weight, last.bias, inputs);
    const halves = [0, 1].map((half) => {
      const size = weight.shape[0]! / 2;
      return partOfData(again.bias, { axis: 0, start: half * size, size });
    });
    means(joinedData(halves, 0), [weight.shape[0]!], expected.expectedBias);
    means(again.weight, weight.shape, expected.expectedWeight);
  });
}

Deno.test("a fold of a fold is one fold of the original, and the same in float64 as two", () => {
  const random = new Random(40);
  const [weight, bias] = [held(random, [8, 16]), held(random, [8], "b")];
  const [s1, t1, s2, t2] = [0, 1, 2, 3].map(() => vector(random, 16));
  const [r1, u1, r2, u2] = [0, 1, 2, 3].map(() => vector(random, 8));
  const steps = [
    (w: TensorData, b: TensorData) => foldIntoWeight(w, b, { scale: s1!, shift: t1! }),
    (w: TensorData, b: TensorData) => foldIntoOutputs(w, b, { scale: r1!, shift: u1! }),
    (w: TensorData, b: TensorData) => foldIntoWeight(w, b, { scale: s2!, shift: t2! }),
    (w: TensorData, b: TensorData) => foldIntoOutputs(w, b, { scale: r2!, shift: u2! }),
  ];
  let [merged, apart] = [{ weight, bias }, { weight, bias }];
  for (const step of steps) {
    merged = step(merged.weight, merged.bias);
    const next = step(apart.weight, apart.bias);
    // Held, so that the next step does not see what it is made of.
    apart = {
      weight: heldData([8, 16], float64Of(next.weight), "w"),
      bias: heldData([8], float64Of(next.bias), "b"),
    };
  }
  const [ofWeight, ofBias] = [merged.weight, merged.bias].map(derivationOf);
  assert.ok(ofWeight?.kind === "fold" && ofBias?.kind === "fold");
  assert.equal(ofWeight.fold, ofBias.fold);
  assert.equal(ofWeight.fold.weight, weight);
  assert.deepEqual(float64Of(merged.weight), float64Of(apart.weight));
  assert.deepEqual(float64Of(merged.bias), float64Of(apart.bias));
});

Deno.test("a fold of a folded weight whose bias went elsewhere does not bring that back", () => {
  const random = new Random(41);
  const weight = held(random, [4, 8]);
  const [shift, later] = [vector(random, 8), vector(random, 8)];
  const first = foldIntoWeight(weight, held(random, [4], "b"), { scale: vector(random, 8), shift });
  const second = foldIntoWeight(first.weight, null, { shift: later });
  const w = at(first.weight);
  means(second.bias, [4], ([o]) => later.reduce((sum, t, c) => sum + t * w([o!, c]), 0));
  means(foldIntoOutputs(first.weight, null, { scale: vector(random, 4) }).bias, [4], () => 0);
});

/** A weight that counts how often it is read. */
function counting(data: TensorData): { data: TensorData; reads: () => number } {
  let reads = 0;
  return { data: { ...data, bytes: () => (reads++, data.bytes()) }, reads: () => reads };
}

Deno.test("a fold's weight and bias take one pass, whatever part is asked for in whatever order after the weight", () => {
  const random = new Random(50);
  const { data, reads } = counting(held(random, [64, 1000]));
  const shift = vector(random, 1000);
  const { weight, bias } = foldIntoWeight(data, null, { scale: vector(random, 1000), shift });
  assert.equal(reads(), 0);
  const rows = { axis: 0, start: 16, size: 32 };
  // As `carryOne` makes it: the bias is a column of the weight.
  const wide = withPart(paddedData(weight, { axis: 1, extra: 8 }), reshapedData(bias, [64, 1]), {
    axis: 1,
    start: 1000,
  });
  const bytes = bytesAs(wide, "fp16");
  assert.equal(reads(), 1);
  const w = at(data);
  const readBefore = reads();
  const expected = plain([64], ([o]) => shift.reduce((sum, t, c) => sum + t * w([o!, c]), 0));
  assert.deepEqual([...float64Of(partOfData(bias, rows))], expected.slice(16, 48));
  assert.deepEqual([...float64Of(bias)], expected);
  assert.deepEqual(
    [...new Float16Array(bytes.buffer)].filter((_, i) => i % 1008 === 1000),
    expected.map((x) => Math.f16round(x)),
  );
  assert.equal(reads(), readBefore);
});

Deno.test("a part of a fold reads that part of the weight alone for its bias", () => {
  const random = new Random(51);
  const parts = [0, 1, 2].map(() => counting(held(random, [4, 8])));
  const whole = joinedData(parts.map(({ data }) => data), 0);
  const { bias } = foldIntoWeight(whole, null, { shift: vector(random, 8) });
  float64Of(partOfData(bias, { axis: 0, start: 4, size: 4 }));
  assert.deepEqual(parts.map(({ reads }) => reads()), [0, 1, 0]);
});

/** A random weight `[rows, columns]` of a few kinds on top of each other. */
function anyWeight(random: Random, [rows, columns]: readonly [number, number], depth: number): TensorData {
  if (depth === 0 || Math.min(rows, columns) < 4) {
    return heldData([rows, columns], random.normals([rows, columns]), "leaf");
  }
  const inner = (r = rows, c = columns) => anyWeight(random, [r, c], depth - 1);
  const normals = (length: number) => Float64Array.from(random.normals([length]));
  switch (random.integer(0, 8)) {
    case 0:
      return foldIntoWeight(inner(), null, { scale: normals(columns), centred: random.integer(0, 1) === 1 })
        .weight;
    case 1:
      return foldIntoOutputs(inner(), null, { scale: normals(rows), centred: random.integer(0, 1) === 1 })
        .weight;
    case 2:
      return affineData(inner(), { axis: random.integer(0, 1), centred: true });
    case 3:
      return partOfData(inner(rows + 3), { axis: 0, start: 2, size: rows });
    case 4:
      return joinedData([inner(rows, 1), filledData([rows, 1], 1), inner(rows, columns - 2)], 1);
    case 5:
      return joinedData([inner(2), inner(rows - 2)], 0);
    case 6:
      return transposedData(inner(columns, rows));
    case 7:
      return lessLastData(inner(rows, columns + 1), 1);
    default:
      return productData(inner(rows, 12), inner(12, columns));
  }
}

Deno.test("bytes of any derived weight in any type are its float64 values rounded once", () => {
  for (let seed = 0; seed < 60; seed++) {
    const random = new Random(seed);
    const size = [random.integer(12, 20), random.integer(12, 90)] as const;
    const data = anyWeight(random, size, 3);
    assert.deepEqual(data.shape, size);
    for (const dtype of ["fp32", "fp16", "bf16"] as const) {
      assert.deepEqual(
        bytesAs(data, dtype),
        bytesFromNumbers(float64Of(data), dtype),
        `seed ${seed}, ${dtype}`,
      );
    }
  }
});

Deno.test("weights that are only moved keep their type and every bit", () => {
  // Signalling and quiet NaN, minus zero and a subnormal, which a conversion might change.
  const halves = Uint16Array.of(0x7d01, 0x7e02, 0x8000, 0x0001, 0x3c00, 0xfc00);
  for (const dtype of ["fp16", "bf16"] as const) {
    const data: TensorData = {
      ...heldData([3, 2], new Float32Array(6), "w"),
      dtype,
      bytes: () => new Uint8Array(halves.buffer),
    };
    const turned = transposedData(joinedData([data, filledData([1, 2], 1)], 0));
    assert.equal(turned.dtype, dtype);
    const one = dtype === "fp16" ? 0x3c00 : 0x3f80;
    assert.deepEqual(
      [...new Uint16Array(turned.bytes().buffer)],
      [0x7d01, 0x8000, 0x3c00, one, 0x7e02, 0x0001, 0xfc00, one],
    );
  }
  const large = heldData([2, 1], BigInt64Array.of(-1n, 2n ** 62n + 1n), "ids");
  assert.deepEqual([...new BigInt64Array(transposedData(large).bytes().buffer)], [-1n, 2n ** 62n + 1n]);
});

Deno.test("parts of parts, of joined ones and of a fill are what they are of", () => {
  const random = new Random(60);
  const [a, b] = [held(random, [4, 2]), held(random, [3, 2])];
  const whole = joinedData([a, b], 0);
  assert.equal(partOfData(whole, { axis: 0, start: 4, size: 3 }), b);
  assert.equal(
    partOfData(partOfData(whole, { axis: 0, start: 0, size: 5 }), { axis: 0, start: 0, size: 4 }),
    a,
  );
  assert.equal(transposedData(transposedData(a)), a);
  assert.equal(reshapedData(reshapedData(a, [4, 1, 2]), [4, 2]), a);
  assert.equal(derivationOf(partOfData(filledData([9], 0), { axis: 0, start: 2, size: 3 }))?.kind, "fill");
});

Deno.test("isZero() tells zeros without reading a matrix, and does not guess", () => {
  const random = new Random(61);
  const unread = { ...held(random, [6, 4]), bytes: () => assert.fail("read") };
  const { bias } = foldIntoWeight(unread, held(random, [6]), { shift: vector(random, 4) });
  const cleared = withPart(bias, filledData([2], 0), { axis: 0, start: 4 });
  const { bias: scaled } = foldIntoOutputs(unread, cleared, { scale: vector(random, 6) });
  for (const [start, expected] of [[0, false], [3, false], [4, true]] as const) {
    assert.equal(isZero(partOfData(cleared, { axis: 0, start, size: 2 })), expected);
    assert.equal(isZero(partOfData(scaled, { axis: 0, start, size: 2 })), expected);
  }
  assert.ok(isZero(heldData([2], new Float64Array(2), "b")));
  assert.ok(isZero(foldIntoWeight(unread, null, { scale: vector(random, 4) }).bias));
});

Deno.test("messages call a derived weight by what it is made of", () => {
  const random = new Random(62);
  const [q, k] = [held(random, [2, 4], "q"), held(random, [2, 4], "k")];
  const { weight, bias } = foldIntoWeight(joinedData([q, k], 0), null, { shift: vector(random, 4) });
  assert.equal(weight.origin, "q above k, normalization folded in");
  assert.equal(bias.origin, "bias of q above k, normalization folded in");
  assert.equal(partOfData(q, { axis: 0, start: 1, size: 1 }).origin, "rows 1 to 1 of q");
  assert.equal(paddedData(transposedData(q), { axis: 0, extra: 2 }).origin, "q");
  assert.equal(productData(q, transposedData(k)).origin, "q times k");
});

Deno.test("a copy of a derived weight with other bytes is what its bytes are", () => {
  const data = affineData(heldData([2], Float64Array.of(1, 2), "w"), {
    axis: 0,
    scale: Float64Array.of(2, 2),
  });
  const other = { ...data, bytes: () => new Uint8Array(Float64Array.of(7, 8).buffer) };
  assert.equal(derivationOf(other), null);
  assert.deepEqual([...new Float32Array(bytesAs(other, "fp32").buffer)], [7, 8]);
  assert.deepEqual([...float64Of(affineData({ ...data }, { axis: 0, shift: Float64Array.of(1, 1) }))], [
    3,
    5,
  ]);
});

// Rounding moves a number by at most u of itself, so an output by u (sum |W'_c x_c| + |b'|), which is at most
// the bound times its deviation |W| where the normalized channels s x are within one; 2^-20 is room for what
// is of second order in u.
Deno.test("foldErrorBound() bounds what rounding a fold costs, also of folds that were joined and padded", () => {
  for (const precision of ["fp32", "fp16", "bf16"] as const satisfies readonly Precision[]) {
    const random = new Random(70);
    const [outputs, channels] = [16, 24];
    const weight = heldData([outputs, channels], random.normals([outputs, channels]), "w");
    const [scale, shift] = [1, 2].map(() => Float64Array.from(random.normals([channels])));
    const folded = foldIntoWeight(weight, null, { scale: scale!, shift: shift! });
    const bound = foldErrorBound(folded.weight, precision)!;
    const [exact, rounded] = [folded, {
      weight: { ...folded.weight, dtype: precision, bytes: () => bytesAs(folded.weight, precision) },
      bias: { ...folded.bias, dtype: precision, bytes: () => bytesAs(folded.bias, precision) },
    }].map(({ weight, bias }) => ({ w: at(weight), b: at(bias) }));
    const original = at(weight);
    let worst = 0;
    for (let trial = 0; trial < 200; trial++) {
      const x = Float64Array.from({ length: channels }, (_, c) => random.pick([-1, 1]) / scale![c]!);
      for (let o = 0; o < outputs; o++) {
        const output = ({ w, b }: NonNullable<typeof exact>) =>
          x.reduce((sum, value, c) => sum + w([o, c]) * value, b([o]));
        const deviation = Math.hypot(...plain([channels], ([c]) => original([o, c!])));
        worst = Math.max(worst, Math.abs(output(rounded!) - output(exact!)) / deviation);
      }
    }
    assert.ok(worst > 0 && worst <= bound * (1 + 2 ** -8), `${precision}: ${worst} of ${bound}`);
    const joined = paddedData(joinedData([folded.weight, weight], 0), { axis: 1, extra: 8 });
    assert.equal(foldErrorBound(joined, precision), bound);
    assert.equal(foldErrorBound(weight, precision), null);
  }
});

/** The same values as a file would have them: read by ranges, and no more than `most` bytes together. */
function inFile(data: TensorData, most: number): TensorData {
  const bytes = data.bytes();
  const readInto = (target: Uint8Array, begin: number) => {
    assert.ok(target.length <= most, `${target.length} bytes are read together`);
    target.set(bytes.subarray(begin, begin + target.length));
  };
  const refuse = () => assert.fail("it is read as a whole");
  return { ...data, bytes: refuse, readInto };
}

Deno.test("partsOf() gives what bytesAs() gives, of ranges of a file and in parts that stay until the next", () => {
  const random = new Random(1);
  // No part, window or piece is a whole number of these rows.
  const shape = [1001, 1337];
  const [rows, columns] = shape as [number, number];
  const atOnce = 2 ** 20;
  const plain = held(random, shape);
  const scale = vector(random, columns);
  const made = (w: TensorData, turned: TensorData): TensorData[] => [
    w,
    partOfData(w, { axis: 0, start: 300, size: 700 }),
    partOfData(w, { axis: 1, start: 1, size: 1300 }),
    joinedData([w, w], 0),
    joinedData([w, w], 1),
    transposedData(turned),
    foldIntoWeight(w, null, { scale, shift: scale }).weight,
    foldIntoWeight(transposedData(turned), null, { scale, shift: scale, centred: true }).weight,
    quantizedData(w, { to: "int8", each: "row", steps: "fp32" }).values,
  ];
  const turned = heldData(
    [columns, rows],
    new Float32Array(bytesAs(transposedData(plain), "fp32").slice().buffer),
    "w",
  );
  const whole = made(plain, turned);
  made(inFile(plain, atOnce), inFile(turned, Infinity)).forEach((data, i) => {
    for (const dtype of new Set<StorageType>([data.dtype === "int8" ? "int8" : "fp16", whole[i]!.dtype])) {
      const wanted = bytesAs(whole[i]!, dtype);
      let [at, before] = [0, new Uint8Array()];
      for (const part of partsOf(data, dtype)) {
        assert.ok(part.length <= atOnce);
        assert.deepEqual(before, wanted.subarray(at - before.length, at));
        assert.deepEqual(part, wanted.subarray(at, at += part.length));
        before = part as Uint8Array<ArrayBuffer>;
      }
      assert.equal(at, wanted.length);
    }
  });
});

Deno.test("partsOf() says which element is too large, counted from the first", () => {
  const values = new Float64Array(2 ** 20).fill(1);
  values[2 ** 20 - 3] = 1e6;
  const data = affineData(heldData([2 ** 10, 2 ** 10], values, "w"), {
    axis: 1,
    scale: new Float64Array(2 ** 10).fill(2),
  });
  assert.throws(() => [...partsOf(data, "fp16")], /element 1048573, 2000000, is too large for fp16/);
});
