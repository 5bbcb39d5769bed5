import assert from "node:assert/strict";
import {
  add,
  cast,
  concat,
  constant,
  expand,
  gather,
  matmul,
  mean,
  pick,
  reshape,
  scaledDotProductAttention,
  slice,
  softmax,
  transpose,
} from "../../src/dsl/tensor.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { graphOf, input, Random, refuses, valuesOf } from "../support.ts";

const x = input("x", [2, 3, 4]);
const open = input("open", ["B", "T", 4]);
const shapeOf = ({ type }: { type: { shape: readonly unknown[] } }) => type.shape;

Deno.test("reshape() works out one size", () => {
  assert.deepEqual(shapeOf(reshape(x, [6, -1])), [6, 4]);
  assert.deepEqual(shapeOf(reshape(x, [-1])), [24]);
  assert.deepEqual(shapeOf(reshape(x, [2, -1, 2, 2])), [2, 3, 2, 2]);
  assert.deepEqual(shapeOf(reshape(open, ["B", -1])), ["B", "4*T"]);
  assert.deepEqual(shapeOf(reshape(open, [-1, 4])), ["B*T", 4]);
  assert.deepEqual(shapeOf(reshape(open, ["B", "T", 2, -1])), ["B", "T", 2, 2]);
});

Deno.test("reshape() refuses what does not divide, and two unknown sizes", () => {
  refuses(() => reshape(x, [5, -1]), "reshape", "[2, 3, 4] does not divide into [5, -1]");
  refuses(() => reshape(open, ["S", -1]), "does not divide into [S, -1]");
  refuses(() => reshape(x, [-1, -1]), "leaves 2 sizes to be worked out; at most one");
  refuses(() => reshape(x, [2, 3]), "[2, 3] does not hold as many elements", "fp32[2, 3, 4]");
  refuses(() => reshape(open, ["B", 4]), "does not hold as many elements");
});

Deno.test("slice() takes what Python's does", () => {
  const value = { x: new Random(1).tensor([9]) };
  const line = input("x", [9]);
  const cases = [[0, 9, 1], [2, 7, 1], [1, 8, 3], [0, 8, 3], [-4, -1, 1], [-9, 9, 4], [3, 4, 5]] as const;
  for (const [start, end, step] of cases) {
    const { y } = evaluateGraph(graphOf(slice(line, { axis: 0, start, end, step })), value);
    const [from, to] = [start, end].map((place) => place < 0 ? place + 9 : place) as [number, number];
    const expected = [...value.x.data].filter((_, i) => i >= from && i < to && (i - from) % step === 0);
    assert.deepEqual([...y!.data], expected, `${start}:${end}:${step}`);
  }
});

Deno.test("slice() refuses places that are not there, and counting from an open end", () => {
  refuses(() => slice(x, { axis: 2, end: 5 }), "elements 0 to 4 are not all within axis 2 of 4");
  refuses(() => slice(x, { axis: 2, start: 3, end: 3 }), "slice");
  refuses(() => slice(x, { axis: 3 }), "slice: axis 3 does not exist in rank 3");
  refuses(() => slice(open, { axis: 1 }), "axis 1 has the open size T: give the end");
  refuses(() => slice(open, { axis: 1, start: -1, end: 2 }), "cannot count back from the open size T");
});

Deno.test("slice() takes a size for the end, open or not", () => {
  const table = input("table", [9, 4]);
  assert.deepEqual(shapeOf(slice(table, { axis: 0, size: "T" })), ["T", 4]);
  assert.deepEqual(shapeOf(slice(table, { axis: 0, start: 2, size: "T+1" })), ["T+1", 4]);
  assert.deepEqual(slice(table, { axis: 0, start: -3, size: 3 }).attrs, {
    axis: 0,
    start: 6,
    size: 3,
    step: 1,
  });
  assert.deepEqual(shapeOf(slice(table, { axis: 0, start: 1, size: 3, step: 3 })), [3, 4]);
  refuses(() => slice(table, { axis: 0, size: 10 }), "elements 0 to 9 are not all within axis 0 of 9");
  refuses(() => slice(table, { axis: 0, size: "T", end: 4 }), "give the end 4 or the size T, not both");
  refuses(() => slice(table, { axis: 0, size: "T", step: 2 }), "T elements are taken with step 1");
  refuses(
    () => slice(open, { axis: 1, start: 1, size: "T" }),
    "T elements from 1 on are not all within axis 1 of T",
  );
  refuses(() => slice(table, { axis: 0, size: "1+T" }), "slice: size must be a whole number", 'not "1+T"');
  refuses(() => slice(table, { axis: 0, start: -10, size: "T" }), "the start -1 is before the first");
});

Deno.test("pick() takes one element and drops its axis", () => {
  const value = { x: new Random(1).tensor([2, 3, 4]) };
  for (const index of [0, 2, -1, -3]) {
    const { y } = evaluateGraph(graphOf(pick(x, { axis: 1, index })), value);
    assert.deepEqual(y!.shape, [2, 4]);
    const row = (index + 3) % 3;
    assert.deepEqual([...y!.data.subarray(0, 4)], [...value.x.data.subarray(4 * row, 4 * row + 4)]);
  }
  assert.deepEqual(shapeOf(pick(open, { axis: -2, index: 0 })), ["B", 4]);
  refuses(() => pick(x, { axis: 1, index: 3 }), "axis 1 of 3");
});

Deno.test("concat() adds open sizes", () => {
  assert.deepEqual(
    shapeOf(
      concat([open, open, expand(constant([1], { shape: [1, 1, 1], dtype: "fp32" }), ["B", 1, 4])], {
        axis: 1,
      }),
    ),
    [
      "B",
      "2*T+1",
      4,
    ],
  );
});

Deno.test("operators refuse shapes that do not fit, with the shapes", () => {
  refuses(() => add(x, input("z", [3, 3])), "add: the shapes do not broadcast", "fp32[2, 3, 4], fp32[3, 3]");
  refuses(() => add(x, cast(x, "fp16")), "add: the inputs must have one element type", "fp16[2, 3, 4]");
  refuses(() => matmul(x, x), "matmul: the inner sizes 4 and 3 differ");
  refuses(() => matmul(x, input("v", [4])), "matmul: both sides need rank 2 or more");
  refuses(
    () => matmul(input("a", [2, 3, 4]), input("b", [5, 4, 3])),
    "matmul: the leading sizes do not broadcast",
  );
  refuses(() => transpose(x, [0, 1]), "transpose: [0, 1] is no permutation of the axes");
  refuses(() => transpose(x, [0, 1, 1]), "no permutation");
  refuses(() => softmax(x, { axis: 3 }), "softmax: axis 3 does not exist in rank 3");
  refuses(
    () => concat([x, input("z", [2, 4, 5])], { axis: 1 }),
    "concat: sizes other than axis 1 must agree",
  );
  refuses(() => gather(x, x), "gather: the indices must be int32 or int64");
  refuses(() => expand(x, [2, 3, 8]), "expand: it does not repeat to [2, 3, 8]");
  refuses(() => expand(x, [1, 2, 3, 4]), "expand");
  refuses(() => mean(x, { axes: [3] }), "reduce_mean: axis 3");
  refuses(() => mean(x, { axes: [] }), "reduce_mean: give each axis to reduce over, once");
  refuses(() => mean(x, { axes: [1, -2] }), "reduce_mean: give each axis to reduce over, once");
  refuses(() => concat([], { axis: 0 }), "concat: it needs at least one input");
});

Deno.test("scaledDotProductAttention() scales by the head size unless told otherwise, and checks its shapes", () => {
  const [q, k] = [input("q", [2, 3, 5, 16]), input("k", [2, 3, 7, 16])];
  assert.equal(scaledDotProductAttention({ q, k, v: k }).attrs.scale, 0.25);
  assert.equal(scaledDotProductAttention({ q, k, v: k }, { scale: 1 }).attrs.scale, 1);
  refuses(
    () => scaledDotProductAttention({ q, k, v: q }),
    "attention: batch, heads, keys and head size must agree",
  );
  refuses(() => scaledDotProductAttention({ q: k, k: q, v: q }, { causal: true }), "as many keys as queries");
  const one = input("one", [2, 3, 1, 16]);
  const past = input("past", [2, 3, "S", 16]);
  assert.deepEqual(
    shapeOf(scaledDotProductAttention({ q: one, k: past, v: past }, { causal: true })),
    [2, 3, 1, 16],
  );
  refuses(
    () => scaledDotProductAttention({ q, k: past, v: past }, { causal: true }),
    "a causal mask needs as many keys as queries",
    "fp32[2, 3, S, 16]",
  );
  const mask = input("mask", [5, 5]);
  refuses(
    () => scaledDotProductAttention({ q, k, v: k, mask }),
    "the mask does not broadcast to [2, 3, 5, 7]",
  );
  const wide = input("mask", [4, 2, 3, 5, 7]);
  refuses(() => scaledDotProductAttention({ q, k, v: k, mask: wide }), "the mask does not broadcast");
  refuses(() => scaledDotProductAttention({ q: x, k: x, v: x }), "q, k and v must be [B, H, T, D]");
  const sized = input("sized", [1, 1, 2, "D"]);
  refuses(() => scaledDotProductAttention({ q: sized, k: sized, v: sized }), "give the scale", "D is open");
});

Deno.test("constant() holds numbers exactly until they are emitted", () => {
  assert.deepEqual([...valuesOf(constant([0.1], { shape: [1], dtype: "fp16" }))], [0.1]);
  assert.deepEqual([...valuesOf(constant([7], { shape: [], dtype: "int64" }))], [7]);
  assert.throws(() => constant([1, 2], { shape: [3], dtype: "fp32" }), /2 values for the shape \[3\]/);
});
