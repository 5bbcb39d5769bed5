import assert from "node:assert/strict";
import { concat, constant, float, model, scaledDotProductAttention } from "../../src/dsl/mod.ts";
import { nodeOf, type Tensor } from "../../src/dsl/tensor.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { noNorm } from "../../src/norms/families.ts";
import { Random, refuses, valuesOf, weightsOf } from "../support.ts";
import { graphOf, input } from "./support.ts";

const x = input("x", [2, 3, 4]);
const open = input("open", ["B", "T", 4]);
const attrsOf = (x: Tensor) => nodeOf(x).attrs;

Deno.test("reshape() works out one size", () => {
  assert.deepEqual(x.reshape([6, -1]).shape, [6, 4]);
  assert.deepEqual(x.reshape([-1]).shape, [24]);
  assert.deepEqual(x.reshape([2, -1, 2, 2]).shape, [2, 3, 2, 2]);
  assert.deepEqual(open.reshape(["B", -1]).shape, ["B", "4*T"]);
  assert.deepEqual(open.reshape([-1, 4]).shape, ["B*T", 4]);
  assert.deepEqual(open.reshape(["B", "T", 2, -1]).shape, ["B", "T", 2, 2]);
});

Deno.test("reshape() refuses what does not divide, and two unknown sizes", () => {
  refuses(() => x.reshape([5, -1]), "reshape", "[2, 3, 4] does not divide into [5, -1]");
  refuses(() => open.reshape(["S", -1]), "does not divide into [S, -1]");
  refuses(() => x.reshape([-1, -1]), "leaves 2 sizes to be worked out; at most one");
  refuses(() => x.reshape([2, 3]), "[2, 3] does not hold as many elements", "fp32[2, 3, 4]");
  refuses(() => open.reshape(["B", 4]), "does not hold as many elements");
});

Deno.test("slice() takes what Python's does", () => {
  const value = { x: new Random(1).tensor([9]) };
  const line = input("x", [9]);
  const cases = [[0, 9, 1], [2, 7, 1], [1, 8, 3], [0, 8, 3], [-4, -1, 1], [-9, 9, 4], [3, 4, 5]] as const;
  for (const [start, end, step] of cases) {
    const { y } = evaluateGraph(graphOf(line.slice({ axis: 0, start, end, step })), value);
    const [from, to] = [start, end].map((place) => place < 0 ? place + 9 : place) as [number, number];
    const expected = [...value.x.data].filter((_, i) => i >= from && i < to && (i - from) % step === 0);
    assert.deepEqual([...y!.data], expected, `${start}:${end}:${step}`);
  }
});

Deno.test("slice() refuses places that are not there, and counting from an open end", () => {
  refuses(() => x.slice({ axis: 2, end: 5 }), "elements 0 to 4 are not all within axis 2 of 4");
  refuses(() => x.slice({ axis: 2, start: 3, end: 3 }), "slice");
  refuses(() => x.slice({ axis: 3 }), "slice: axis 3 does not exist in rank 3");
  refuses(() => open.slice({ axis: 1 }), "axis 1 has the open size T: give the end");
  refuses(() => open.slice({ axis: 1, start: -1, end: 2 }), "cannot count back from the open size T");
});

Deno.test("slice() takes a size for the end, open or not", () => {
  const table = input("table", [9, 4]);
  assert.deepEqual(table.slice({ axis: 0, size: "T" }).shape, ["T", 4]);
  assert.deepEqual(table.slice({ axis: 0, start: 2, size: "T+1" }).shape, ["T+1", 4]);
  assert.deepEqual(attrsOf(table.slice({ axis: 0, start: -3, size: 3 })), {
    axis: 0,
    start: 6,
    size: 3,
    step: 1,
  });
  assert.deepEqual(table.slice({ axis: 0, start: 1, size: 3, step: 3 }).shape, [3, 4]);
  refuses(() => table.slice({ axis: 0, size: 10 }), "elements 0 to 9 are not all within axis 0 of 9");
  refuses(() => table.slice({ axis: 0, size: "T", end: 4 }), "give the end 4 or the size T, not both");
  refuses(() => table.slice({ axis: 0, size: "T", step: 2 }), "T elements are taken with step 1");
  refuses(
    () => open.slice({ axis: 1, start: 1, size: "T" }),
    "T elements from 1 on are not all within axis 1 of T",
  );
  refuses(() => table.slice({ axis: 0, size: "1+T" }), "slice: size must be a whole number", 'not "1+T"');
  refuses(() => table.slice({ axis: 0, start: -10, size: "T" }), "the start -1 is before the first");
});

Deno.test("pick() takes one element and drops its axis", () => {
  const value = { x: new Random(1).tensor([2, 3, 4]) };
  for (const index of [0, 2, -1, -3]) {
    const { y } = evaluateGraph(graphOf(x.pick({ axis: 1, index })), value);
    assert.deepEqual(y!.shape, [2, 4]);
    const row = (index + 3) % 3;
    assert.deepEqual([...y!.data.subarray(0, 4)], [...value.x.data.subarray(4 * row, 4 * row + 4)]);
  }
  assert.deepEqual(open.pick({ axis: -2, index: 0 }).shape, ["B", 4]);
  refuses(() => x.pick({ axis: 1, index: 3 }), "axis 1 of 3");
});

Deno.test("concat() adds open sizes", () => {
  assert.deepEqual(
    concat([open, open, constant([1], { shape: [1, 1, 1], dtype: "fp32" }).expand(["B", 1, 4])], {
      axis: 1,
    }).shape,
    [
      "B",
      "2*T+1",
      4,
    ],
  );
});

Deno.test("operators refuse shapes that do not fit, with the shapes", () => {
  refuses(
    () => x.add(input("z", [3, 3])),
    "add: the shapes do not broadcast",
    "(a fp32[2, 3, 4], b fp32[3, 3])",
  );
  refuses(() => x.add(x.cast("fp16")), "add: the inputs must have one element type", "fp16[2, 3, 4]");
  refuses(() => x.matmul(x), "matmul: the inner sizes 4 and 3 differ");
  refuses(() => x.matmul(input("v", [4])), "matmul: both sides need rank 2 or more");
  refuses(
    () => input("a", [2, 3, 4]).matmul(input("b", [5, 4, 3])),
    "matmul: the leading sizes do not broadcast",
  );
  refuses(() => x.transpose([0, 1]), "transpose: [0, 1] is no permutation of the axes");
  refuses(() => x.transpose([0, 1, 1]), "no permutation");
  refuses(() => x.softmax({ axis: 3 }), "softmax: axis 3 does not exist in rank 3");
  refuses(
    () => concat([x, input("z", [2, 4, 5])], { axis: 1 }),
    "concat: sizes other than axis 1 must agree",
  );
  refuses(() => x.gather(x), "gather: the indices must be int32 or int64");
  refuses(() => x.expand([2, 3, 8]), "expand: it does not repeat to [2, 3, 8]");
  refuses(() => x.expand([1, 2, 3, 4]), "expand");
  refuses(() => x.mean({ axes: [3] }), "reduce_mean: axis 3");
  refuses(() => x.mean({ axes: [] }), "reduce_mean: give each axis to reduce over, once");
  refuses(() => x.mean({ axes: [1, -2] }), "reduce_mean: give each axis to reduce over, once");
  refuses(() => concat([], { axis: 0 }), "concat: it takes 1 or more operands (...parts), not 0");
});

Deno.test("scaledDotProductAttention() scales by the head size unless told otherwise, and checks its shapes", () => {
  const [q, k] = [input("q", [2, 3, 5, 16]), input("k", [2, 3, 7, 16])];
  assert.equal(attrsOf(scaledDotProductAttention({ q, k, v: k })).scale, 0.25);
  assert.equal(attrsOf(scaledDotProductAttention({ q, k, v: k }, { scale: 1 })).scale, 1);
  refuses(
    () => scaledDotProductAttention({ q, k, v: q }),
    "attention: batch, heads, keys and head size must agree",
  );
  refuses(() => scaledDotProductAttention({ q: k, k: q, v: q }, { causal: true }), "as many keys as queries");
  const one = input("one", [2, 3, 1, 16]);
  const past = input("past", [2, 3, "S", 16]);
  assert.deepEqual(
    scaledDotProductAttention({ q: one, k: past, v: past }, { causal: true }).shape,
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
  assert.deepEqual([...valuesOf(nodeOf(constant([0.1], { shape: [1], dtype: "fp16" })))], [0.1]);
  assert.deepEqual([...valuesOf(nodeOf(constant([7], { shape: [], dtype: "int64" })))], [7]);
  assert.throws(() => constant([1, 2], { shape: [3], dtype: "fp32" }), /2 values for the shape \[3\]/);
});

Deno.test("a number in place of a tensor has the element type of the other", () => {
  const half = input("half", [2, 3], "fp16");
  const [, factor] = nodeOf(half.mul(0.1)).inputs;
  assert.deepEqual(factor!.type, { dtype: "fp16", shape: [1] });
  assert.deepEqual([...valuesOf(factor!)], [0.1]);
  assert.equal(input("ids", ["B"], "int64").sub(2).dtype, "int64");
});

Deno.test("sizes(), channels and split() take a tensor apart", () => {
  const [batch, tokens, channels] = open.sizes(3);
  assert.deepEqual([batch, tokens, channels, open.channels, open.dtype, open.name], [
    "B",
    "T",
    4,
    4,
    "fp32",
    "open",
  ]);
  const [a, b] = open.split(2);
  assert.deepEqual([a.shape, b.shape], [["B", "T", 2], ["B", "T", 2]]);
  assert.deepEqual(attrsOf(b), { axis: -1, start: 2, size: 2, step: 1 });
});

Deno.test("constants are of the precision that a network is compiled in, and fp32 outside of one", () => {
  const types: string[] = [];
  const inner = model({
    name: "inner",
    inputs: { x: float([2]) },
    norm: noNorm(),
    forward({ x }) {
      types.push(constant(1).dtype, x.cast("float").dtype);
      return x;
    },
  });
  const outer = model({
    name: "outer",
    inputs: { x: float([2]) },
    norm: noNorm(),
    forward({ x }) {
      types.push(constant(1).dtype);
      inner.trace({ weights: weightsOf({}), precision: "bf16" });
      types.push(constant(1).dtype);
      return x;
    },
  });
  outer.trace({ weights: weightsOf({}), precision: "fp16" });
  assert.deepEqual([...types, constant([1, 2]).dtype], ["fp16", "bf16", "bf16", "fp16", "fp32"]);
});
