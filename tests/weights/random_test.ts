/** Invented weights: reproducible by name and seed, with the spread their purpose asks for. */
import assert from "node:assert/strict";
import { float64Of } from "../../src/ir/data.ts";
import { randomWeights } from "../../src/weights/random.ts";
import type { WeightHint } from "../../src/weights/source.ts";
import { refuses } from "./fixtures.ts";

function draw(hint: WeightHint, shape: number[], { seed = 1, name = "w" } = {}): Float64Array {
  return float64Of(randomWeights({ seed }).take(name, shape, hint));
}

function moments(values: Float64Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`);
}

Deno.test("randomWeights() depends on seed and name, not on order", () => {
  const forward = randomWeights({ seed: 7 });
  const backward = randomWeights({ seed: 7 });
  const hint: WeightHint = { init: "linear" };
  const a = float64Of(forward.take("a", [3, 5], hint));
  const b = float64Of(forward.take("b", [3, 5], hint));
  assert.deepEqual(float64Of(backward.take("b", [3, 5], hint)), b);
  assert.deepEqual(float64Of(backward.take("a", [3, 5], hint)), a);
  assert.notDeepEqual(a, b);
  assert.notDeepEqual(draw(hint, [3, 5], { seed: 8, name: "a" }), a);
  assert.notDeepEqual(draw(hint, [3, 5], { seed: 7 + 2 ** 32, name: "a" }), a);
  const again = forward.take("a", [3, 5], hint);
  assert.deepEqual(again.bytes(), again.bytes());
  assert.equal(again.dtype, "fp32");
  assert.deepEqual(forward.unused(), []);
  assert.ok(forward.origin.includes("seed 7"));
});

Deno.test("randomWeights() gives the same values as ever", () => {
  // Reports quote the seed: these numbers may not change without a word to users.
  const pinned = [...draw({ init: "linear", fanIn: 1 }, [4], { seed: 42, name: "pinned" })];
  assert.deepEqual(pinned.map((value) => Number(value.toPrecision(6))), PINNED);
});

const PINNED = [-0.315955, -1.12183, 0.459794, 0.0963274];

Deno.test("randomWeights() draws the normal distribution", () => {
  // Of half the deviation.
  const values = draw({ init: "linear", fanIn: 1 }, [400_000]).map((value) => 2 * value);
  const { mean, deviation } = moments(values);
  near(mean, 0, 0.006);
  near(deviation, 1, 0.005);
  const within = (limit: number) => values.filter((value) => Math.abs(value) < limit).length / values.length;
  near(within(0.5), 0.382925, 0.003);
  near(within(1), 0.682689, 0.003);
  near(within(2), 0.954500, 0.0015);
  near(within(3), 0.997300, 0.0004);
  // Beyond the lowest layer of the ziggurat.
  near(within(3.442619855899), 0.999424, 0.0002);
});

Deno.test("randomWeights() follows the hint", () => {
  near(moments(draw({ init: "linear" }, [64, 400])).deviation, 1 / 40, 0.0005);
  near(moments(draw({ init: "linear", fanIn: 100 }, [64, 400])).deviation, 1 / 20, 0.001);
  near(moments(draw({ init: "linear" }, [64, 16, 5, 5])).deviation, 1 / 40, 0.0005);
  near(moments(draw({ init: "embedding" }, [64, 400])).deviation, 0.02, 0.0004);
  near(moments(draw({ init: "bias" }, [25_000])).deviation, 0.02, 0.0004);
  const gain = moments(draw({ init: "gain" }, [25_000]));
  near(gain.mean, 1, 0.003);
  near(gain.deviation, 0.1, 0.002);
  const variance = draw({ init: "variance", nonNegative: true }, [25_000]);
  assert.ok(variance.every((value) => value > 0));
  near(moments(variance.map(Math.log)).deviation, 0.3, 0.006);
  assert.ok(draw({ init: "bias", nonNegative: true }, [1000]).every((value) => value >= 0));
  assert.deepEqual([...draw({ init: "zeros" }, [2])], [0, 0]);
  assert.deepEqual([...draw({ init: "ones" }, [2])], [1, 1]);
  assert.equal(draw({ init: "linear" }, []).length, 1);
  assert.equal(draw({ init: "linear" }, [3, 0]).length, 0);
});

Deno.test("randomWeights() refuses a seed or shape that is none", () => {
  refuses(() => randomWeights({ seed: 0.5 }), "seed 0.5", "whole number");
  refuses(() => randomWeights({ seed: 1 }).take("w", [2, -1], { init: "bias" }), '"w"', "[2, -1]");
});
