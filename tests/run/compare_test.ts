import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import { accuracy, compareOutputs, compareTensors, topClasses } from "../../src/run/compare.ts";
import { tensorValue } from "../../src/run/session.ts";

const f32 = (shape: number[], numbers: number[]) => tensorValue("fp32", shape, numbers);

Deno.test("compareTensors() measures the error against the largest expected value", () => {
  const difference = compareTensors(f32([2, 2], [1, 2, -8.5, 0.25]), f32([2, 2], [1, 2, -8, 0]));
  assert.deepEqual(difference, {
    maxAbsError: 0.5,
    maxRelError: 0.0625,
    rmsError: Math.sqrt((0.25 + 0.0625) / 4),
    worst: { index: 2, actual: -8.5, expected: -8 },
    failure: null,
  });
});

Deno.test("compareTensors() compares across element types and with plain numbers", () => {
  assert.equal(compareTensors(tensorValue("fp16", [2], [1, 2]), f32([2], [1, 2])).maxAbsError, 0);
  assert.equal(compareTensors(tensorValue("bf16", [1], [3]), { shape: [1], data: [3] }).maxAbsError, 0);
  assert.equal(compareTensors(f32([], [4]), { shape: [], data: Float64Array.of(2) }).maxRelError, 1);
});

Deno.test("compareTensors() never passes what is not finite", () => {
  for (const [a, b] of [[NaN, 1], [1, NaN], [NaN, NaN], [Infinity, Infinity], [1, -Infinity]] as const) {
    const difference = compareTensors(f32([2], [1, a]), f32([2], [1, b]));
    assert.equal(difference.maxAbsError, Infinity);
    assert.equal(difference.maxRelError, Infinity);
    assert.match(difference.failure!, /element 1 is .* finite/);
  }
});

Deno.test("compareTensors() fails on shapes, not on zeros", () => {
  assert.match(compareTensors(f32([1, 2], [1, 2]), f32([2], [1, 2])).failure!, /\[1, 2\], \[2\] expected/);
  assert.match(
    compareTensors(f32([2], [1, 2]), { shape: [2], data: [1] }).failure!,
    /2 elements, but 2 are given and 1/,
  );
  assert.equal(compareTensors(f32([2], [0, 0]), f32([2], [0, 0])).maxRelError, 0);
  assert.equal(compareTensors(f32([2], [0, 1]), f32([2], [0, 0])).maxRelError, Infinity);
  assert.equal(compareTensors(f32([0], []), f32([0], [])).failure, null);
});

Deno.test("compareOutputs() reports the worst output and every missing one", () => {
  const [a, b] = [f32([1], [1]), f32([1], [2])];
  const both = compareOutputs({ x: a, y: b }, { x: a, y: a });
  assert.equal(both.failure, null);
  assert.equal(both.maxAbsError, 1);
  assert.equal(both.outputs.x!.maxAbsError, 0);
  const missing = compareOutputs({ x: a }, { x: a, y: a });
  assert.equal(missing.failure, 'output "y": it is missing');
  assert.equal(missing.maxRelError, Infinity);
  assert.match(compareOutputs({ x: a, z: a }, { x: a }).failure!, /"z": there is nothing/);
  assert.match(compareOutputs({}, {}).failure!, /no outputs/);
});

Deno.test("accuracy() counts the first of equal logits", () => {
  const logits = f32([4, 3], [0, 1, 1, 2, 2, 2, -1, -3, -2, 0, 0, 5]);
  assert.deepEqual([...topClasses(logits)], [1, 0, 0, 2]);
  assert.equal(accuracy(logits, [1, 0, 0, 2]), 1);
  assert.equal(accuracy(logits, [2, 0, 0, 0]), 0.5);
  assert.deepEqual([...topClasses(f32([2, 1, 2], [1, 2, 4, 3]))], [1, 0]);
});

Deno.test("accuracy() refuses what has no meaning", () => {
  const logits = f32([2, 2], [0, 1, 1, 0]);
  assert.throws(() => accuracy(logits, [0]), /2 rows of logits and 1 labels/);
  assert.throws(() => accuracy(logits, [0, 2]), /label 1 is 2; .* 0 to 1/);
  assert.throws(() => accuracy(f32([1, 2], [0, NaN]), [0]), /row 0 .* class 1 is NaN/);
  assert.throws(() => accuracy(f32([0, 2], []), []), UnfoldError);
  assert.throws(() => topClasses(f32([0], [])), UnfoldError);
});
