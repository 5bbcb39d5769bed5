/**
 * The statistics against numpy 2.4.6 and scipy 1.17.1; each block of literals is preceded by the line of
 * Python that printed it (`import numpy as np; from scipy import stats`).
 */
import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import {
  bootstrapMedian,
  coefficientOfVariation,
  judge,
  mannWhitney,
  mean,
  median,
  noiseBand,
  normalTail,
  outliers,
  pairedRatios,
  percentile,
  seededRandom,
  shuffled,
  standardDeviation,
} from "../../src/run/statistics.ts";

const A = [1.02, 0.98, 1.01, 1.05, 0.97, 1.00, 1.03, 0.99, 1.04, 2.50];
const B = [1.12, 1.08, 1.11, 1.15, 1.07, 1.10, 1.13, 1.09, 1.14, 1.06];

function near(actual: number, expected: number, tolerance = 1e-12) {
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.abs(expected), `${actual}, not ${expected}`);
}

Deno.test("percentile() interpolates as numpy does", () => {
  // [np.percentile(A, p) for p in (0, 25, 50, 90, 99, 100)]
  const expected = [
    0.97,
    0.9924999999999999,
    1.0150000000000001,
    1.1949999999999996,
    2.3695000000000004,
    2.5,
  ];
  [0, 25, 50, 90, 99, 100].forEach((percent, i) => near(percentile(A, percent), expected[i]!));
  near(median(A.slice(0, 9)), 1.01); // np.median(A[:9])
  assert.equal(percentile([7], 99), 7);
  assert.deepEqual(A.slice(0, 3), [1.02, 0.98, 1.01], "the samples keep their order");
});

Deno.test("mean() and standardDeviation() agree with numpy", () => {
  // A.mean(), A.std(ddof=1), A.std(ddof=1) / A.mean()
  near(mean(A), 1.159);
  near(standardDeviation(A), 0.47188628573700536);
  near(coefficientOfVariation(A), 0.4071495131466828);
  assert.equal(standardDeviation([3]), 0);
  assert.equal(coefficientOfVariation([0, 0]), 0);
});

Deno.test("percentile() refuses what is no sample", () => {
  assert.throws(() => median([]), UnfoldError);
  assert.throws(() => median([1, NaN]), /sample 1 is NaN/);
  assert.throws(() => percentile([1], 101), /from 0 to 100/);
  assert.throws(() => pairedRatios([1, 2], [1]), /differ in number: 2 and 1/);
});

Deno.test("mannWhitney() is exact for small samples", () => {
  // stats.mannwhitneyu(x, y)
  const rows = [
    { x: A.slice(0, 7), y: B, u: 0, p: 0.00010283833813245579 },
    { x: [1, 2, 3], y: [4, 5, 6, 7], u: 0, p: 0.05714285714285714 },
    { x: [3, 1], y: [2, 5, 4], u: 1, p: 0.4 },
    { x: range(8), y: range(300).map((i) => i + 0.5), u: 28, p: 1.163342824140178e-11 },
  ];
  for (const { x, y, u, p } of rows) {
    const result = mannWhitney(x, y);
    assert.equal(result.u, u);
    near(result.pValue, p);
    near(mannWhitney(y, x).pValue, p);
  }
});

Deno.test("mannWhitney() corrects the normal approximation for ties and continuity", () => {
  // stats.mannwhitneyu(x, y)
  const rows = [
    { x: range(12), y: range(12).map((i) => i + 3.5), u: 36, p: 0.040404119588223694 },
    { x: range(40), y: range(40).map((i) => i + 9.5), u: 465, p: 0.0012876067249747993 },
    { x: [1, 2, 2, 3, 5, 5, 5, 9, 9], y: [2, 4, 5, 6, 7, 8, 9, 9, 9, 9], u: 25.5, p: 0.11278501027334753 },
    { x: [1, 1], y: [1, 1, 1], u: 3, p: 1 },
  ];
  for (const { x, y, u, p } of rows) {
    const result = mannWhitney(x, y);
    assert.equal(result.u, u);
    near(result.pValue, p, 1e-10);
  }
});

Deno.test("normalTail() agrees with scipy", () => {
  // [stats.norm.sf(z) for z in (0, 0.5, 2.9999, 3, 8, -1.25)]
  near(normalTail(0), 0.5);
  near(normalTail(0.5), 0.3085375387259869);
  near(normalTail(2.9999), 0.001350341282954925, 1e-11);
  near(normalTail(3), 0.0013498980316300933, 1e-11);
  near(normalTail(8), 6.22096057427174e-16, 1e-11);
  near(normalTail(-1.25), 0.8943502263331446);
});

Deno.test("bootstrapMedian() agrees with scipy", () => {
  // r = np.random.default_rng(1).normal(1, 0.02, 41).round(4)
  const r = [
    [1.0069, 1.0164, 1.0066, 0.9739, 1.0181, 1.0089, 0.9893, 1.0116, 1.0073, 1.0059, 1.0006, 1.0109, 0.9853],
    [0.9967, 0.9904, 1.0120, 1.0008, 0.9942, 0.9844, 0.9949, 1.0002, 0.9945, 1.0259, 1.0201, 0.9458, 0.9622],
    [0.9965, 0.9916, 1.0043, 1.0043, 1.0424, 0.9778, 0.9924, 1.0409, 1.0129, 1.0133, 0.9897, 0.9670, 1.0033],
    [1.0022, 0.9755],
  ].flat();
  // stats.bootstrap((r,), np.median, method="percentile", n_resamples=200000, random_state=0)
  assert.deepEqual(bootstrapMedian(r), { low: 0.9945, high: 1.0066 });
  // the same of r[:10], an even number
  const even = bootstrapMedian(r.slice(0, 10), { resamples: 50_000 });
  near(even.low, 0.9979499999999999, 1e-3);
  near(even.high, 1.0126499999999998, 1e-3);
});

Deno.test("bootstrapMedian() depends on the seed alone", () => {
  const interval = bootstrapMedian(A, { seed: 3, resamples: 200 });
  assert.deepEqual(bootstrapMedian(A, { seed: 3, resamples: 200 }), interval);
  assert.deepEqual(bootstrapMedian(A.toReversed(), { seed: 3, resamples: 200 }), interval);
  assert.deepEqual(bootstrapMedian([1.5]), { low: 1.5, high: 1.5 });
});

Deno.test("noiseBand() is symmetric around 1 as a factor", () => {
  const band = noiseBand(A.map((value) => value * 0.9));
  assert.ok(band.low < 1 && band.high > 1);
  near(band.low * band.high, 1);
  assert.deepEqual(noiseBand([1, 1, 1]), { low: 1, high: 1 });
});

Deno.test("judge() wants a ratio beyond the band and the threshold", () => {
  const band = { low: 0.95, high: 1 / 0.95 };
  assert.equal(judge({ low: 1.06, high: 1.1 }, { band }), "slower");
  assert.equal(judge({ low: 1.04, high: 1.1 }, { band }), "no difference shown");
  assert.equal(judge({ low: 0.8, high: 0.94 }, { band }), "faster");
  assert.equal(judge({ low: 0.8, high: 0.94 }, { band, threshold: 0.1 }), "no difference shown");
  assert.equal(judge({ low: 1.01, high: 1.02 }, { band: { low: 1, high: 1 } }), "no difference shown");
});

Deno.test("outliers() points at both kinds and drops none", () => {
  const samples = [10, 11, 12, 13, 14, 18.5, 30, 12, 12, 2];
  // q1, q3 = np.percentile(samples, (25, 75)): 11.25 and 13.75; fences at 7.5, 17.5 (mild) and 3.75, 21.25
  // (extreme)
  assert.deepEqual(outliers(samples), { mild: [5], extreme: [6, 9] });
  assert.deepEqual(outliers([1, 1, 1]), { mild: [], extreme: [] });
});

Deno.test("seededRandom() repeats for a seed and is even over [0, 1)", () => {
  const [a, b, c] = [seededRandom(1), seededRandom(1), seededRandom(2)];
  const first = Array.from({ length: 1000 }, a);
  assert.deepEqual(Array.from({ length: 1000 }, b), first);
  assert.notDeepEqual(Array.from({ length: 1000 }, c), first);
  assert.ok(first.every((x) => x >= 0 && x < 1));
  for (let tenth = 0; tenth < 10; tenth++) {
    const share = first.filter((x) => Math.floor(x * 10) === tenth).length;
    assert.ok(share > 65 && share < 135, `${share} of 1000 in tenth ${tenth}`);
  }
});

Deno.test("shuffled() visits every order about equally often", () => {
  const random = seededRandom(5);
  const counts = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const order = shuffled(["a", "b", "c"], random).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  for (const count of counts.values()) assert.ok(count > 850 && count < 1150, `${count} of 6000`);
});

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
