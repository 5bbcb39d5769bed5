/** Calibration methods on distributions whose right range is known, and histograms in any order of batches. */
import assert from "node:assert/strict";
import { Histogram } from "../../src/compile/quantize/histogram.ts";
import {
  type Calibration,
  calibrationName,
  parseCalibration,
  threshold,
} from "../../src/compile/quantize/methods.ts";
import { seededRandom } from "../../src/run/statistics.ts";
import { refuses } from "../support.ts";

const INT8 = {
  levels: 128,
  cutAt: (most: number) => (x: number) =>
    most / 127 * Math.max(-127, Math.min(127, Math.round(x / (most / 127)))),
};

function histogramOf(...batches: Float64Array[]): Histogram {
  const histogram = new Histogram();
  for (const batch of batches) histogram.see(batch);
  return histogram;
}

const thresholdOf = (histogram: Histogram, calibration: Calibration) =>
  threshold(histogram, calibration, INT8);

/** By Box and Muller, of variance 1. */
function gaussian(count: number, seed: number): Float64Array {
  const random = seededRandom(seed);
  return Float64Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}

Deno.test("Histogram has the same counts for any division into batches, in any order", () => {
  const values = gaussian(20_000, 1).map((value, i) => value * 10 ** (i % 7 - 3));
  values.fill(0, 0, 50);
  const whole = histogramOf(values);
  assert.equal(whole.counts.reduce((a, b) => a + b), values.length);
  assert.ok(whole.used.length > Histogram.BINS / 2 && whole.used.length <= Histogram.BINS);
  for (const size of [1, 7, 50, 4096]) {
    const batches = Array.from(
      { length: Math.ceil(values.length / size) },
      (_, i) => values.subarray(i * size, (i + 1) * size),
    );
    for (const order of [batches, batches.toReversed()]) {
      const merged = histogramOf(...order);
      assert.deepEqual([merged.width, merged.max], [whole.width, whole.max]);
      assert.deepEqual(merged.counts, whole.counts);
    }
  }
});

Deno.test("Histogram counts each magnitude in its bin, zeros alone and infinities nowhere", () => {
  const { width, counts, max } = histogramOf(Float64Array.of(0, 1, -2, 4095, 4095.5, Infinity, NaN));
  assert.deepEqual([width, max, counts[0], counts[1], counts[2], counts[4095]], [1, 4095.5, 1, 1, 1, 2]);
  const zeros = histogramOf(new Float64Array(3));
  assert.deepEqual([zeros.width, zeros.counts[0], zeros.used.length], [0, 3, 1]);
  for (const method of ["max", "entropy", "mse"] as const) assert.equal(thresholdOf(zeros, { method }), 0);
  const least = histogramOf(Float64Array.of(5e-324));
  assert.equal(least.counts.reduce((a, b) => a + b), 1);
});

Deno.test("threshold() keeps all of a uniform distribution by every method", () => {
  const uniform = histogramOf(Float64Array.from({ length: 200_000 }, (_, i) => (i + 0.5) / 100_000 - 1));
  assert.equal(thresholdOf(uniform, { method: "max" }), uniform.max);
  assert.ok(thresholdOf(uniform, { method: "entropy" }) > 0.99);
  // What is cut off costs a square of its distance, what is left gains a step's: a 127th at most.
  assert.ok(thresholdOf(uniform, { method: "mse" }) > 0.98);
  assert.ok(Math.abs(thresholdOf(uniform, { method: "percentile", percent: 90 }) - 0.9) < 1e-3);
});

Deno.test("threshold() by entropy and mse cuts outliers of a normal distribution off, by max does not", () => {
  const values = gaussian(200_000, 2);
  values.set([8, -9, 10]);
  const outliers = histogramOf(values);
  assert.equal(thresholdOf(outliers, { method: "max" }), 10);
  for (const method of ["entropy", "mse"] as const) {
    const found = thresholdOf(outliers, { method });
    assert.ok(found > 2.5 && found < 8, `${method}: ${found}`);
  }
  // 99.9 % of a normal distribution are within 3.29 deviations.
  const percentile = thresholdOf(outliers, { method: "percentile", percent: 99.9 });
  assert.ok(Math.abs(percentile - 3.29) < 0.1, `${percentile}`);
});

Deno.test("threshold() by mse has the least squared error of the values themselves", () => {
  const values = gaussian(20_000, 3);
  values.set([12, -20]);
  const histogram = histogramOf(values);
  const errorOf = (most: number) => {
    const round = INT8.cutAt(most);
    return values.reduce((sum, x) => sum + (round(x) - x) ** 2, 0);
  };
  const found = errorOf(thresholdOf(histogram, { method: "mse" }));
  const best = Math.min(
    ...Array.from({ length: 200 }, (_, i) => errorOf(histogram.max * (i + 1) / 200)),
  );
  // Of 128 candidates against 200 others, with values at the middle of their bins.
  assert.ok(found < 1.02 * best, `${found} against ${best}`);
  assert.ok(found < errorOf(histogram.max));
});

Deno.test("threshold() by entropy finds the least of the written-out definition", () => {
  const values = gaussian(30_000, 4);
  values.set([9, -14]);
  const histogram = histogramOf(values);
  const h = [...histogram.used];
  const sum = (all: readonly number[]) => all.reduce((a, b) => a + b, 0);
  const divergenceOf = (bins: number) => {
    const p = h.slice(0, bins);
    const q = p.slice();
    p[bins - 1]! += sum(h.slice(bins));
    const levels = Map.groupBy(p.keys(), (k) => Math.floor(k * 128 / bins));
    for (const level of levels.values()) {
      const held = level.filter((k) => p[k]! > 0);
      const joined = sum(level.map((k) => h[k]!));
      for (const k of level) q[k] = held.includes(k) ? joined / held.length : 0;
    }
    const [all, inside] = [sum(p), sum(q)];
    return sum(p.map((count, k) => count === 0 ? 0 : count / all * Math.log(count / all / (q[k]! / inside))));
  };
  const bins = Math.round(thresholdOf(histogram, { method: "entropy" }) / histogram.width);
  const found = divergenceOf(bins);
  for (let other = 128; other <= h.length; other += 61) {
    assert.ok(found <= divergenceOf(other) + 1e-12, `${bins} bins, but ${other} diverge less`);
  }
});

Deno.test("parseCalibration() takes what is typed and refuses what is no method", () => {
  for (const text of ["rows", "max", "entropy", "mse", "percentile:99.9"]) {
    assert.equal(calibrationName(parseCalibration(text)), text);
  }
  assert.equal(calibrationName(parseCalibration("percentile")), "percentile:99.99");
  for (const text of ["minmax", "max:3", ""]) {
    refuses(() => parseCalibration(text), "give one of rows, max, percentile, entropy, mse");
  }
  for (const text of ["percentile:101", "percentile:", "percentile:x"]) {
    refuses(() => parseCalibration(text), "give a percentile from 50 to 100");
  }
});
