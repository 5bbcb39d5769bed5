import assert from "node:assert/strict";
import {
  addDims,
  axisIn,
  bindDim,
  bindShape,
  broadcastShapes,
  type Dim,
  divideDims,
  fixedShape,
  isDim,
  multiplyDims,
  namesIn,
  reshapeTarget,
  type Shape,
  sizeOf,
  termsOf,
} from "../../src/ir/shape.ts";
import { Random, refuses } from "../support.ts";

const NAMES = ["B", "T", "S"];
const VALUES = [{ B: 2, T: 3, S: 5 }, { B: 1, T: 1, S: 1 }, { B: 7, T: 2, S: 4 }];

/** A random polynomial, and the same function of values in plain numbers. */
function randomDim(random: Random, depth = 3): { dim: Dim; at: (values: Record<string, number>) => number } {
  if (depth === 0 || random.uniform() < 0.2) {
    if (random.uniform() < 0.4) {
      const size = random.integer(0, 4);
      return { dim: size, at: () => size };
    }
    const name = random.pick(NAMES);
    return { dim: name, at: (values) => values[name]! };
  }
  const [a, b] = [randomDim(random, depth - 1), randomDim(random, depth - 1)];
  return random.uniform() < 0.5
    ? { dim: addDims(a.dim, b.dim), at: (values) => a.at(values) + b.at(values) }
    : { dim: multiplyDims(a.dim, b.dim), at: (values) => a.at(values) * b.at(values) };
}

Deno.test("addDims() and multiplyDims() compute what their values do", () => {
  for (let seed = 0; seed < 300; seed++) {
    const { dim, at } = randomDim(new Random(seed));
    for (const values of VALUES) assert.equal(bindDim(dim, values), at(values), `${dim}`);
  }
});

Deno.test("addDims() and multiplyDims() give equal sizes one form", () => {
  for (let seed = 0; seed < 300; seed++) {
    const random = new Random(seed);
    const [a, b, c] = [randomDim(random, 2).dim, randomDim(random, 2).dim, randomDim(random, 2).dim];
    assert.equal(addDims(a, b), addDims(b, a));
    assert.equal(multiplyDims(a, b), multiplyDims(b, a));
    assert.equal(addDims(addDims(a, b), c), addDims(a, addDims(b, c)));
    assert.equal(multiplyDims(multiplyDims(a, b), c), multiplyDims(a, multiplyDims(b, c)));
    assert.equal(multiplyDims(a, addDims(b, c)), addDims(multiplyDims(a, b), multiplyDims(a, c)));
    assert.equal(addDims(a, 0), a);
    assert.equal(multiplyDims(a, 1), a);
    assert.equal(multiplyDims(a, 0), 0);
  }
});

Deno.test("addDims() and multiplyDims() write sizes as people do", () => {
  assert.equal(addDims("T", 1), "T+1");
  assert.equal(addDims(1, "T"), "T+1");
  assert.equal(addDims("T", "T"), "2*T");
  assert.equal(multiplyDims(16, "B"), "16*B");
  assert.equal(multiplyDims("T", "B"), "B*T");
  assert.equal(multiplyDims("B", addDims("T", 1)), "B+B*T");
  assert.equal(multiplyDims("T", "T"), "T*T");
});

Deno.test("divideDims() undoes multiplyDims()", () => {
  for (let seed = 0; seed < 300; seed++) {
    const random = new Random(seed);
    const a = randomDim(random, 2).dim;
    const b = random.pick<Dim>([1, 2, 3, "B", "T", "2*B", "B*T"]);
    if (a === 0) continue;
    assert.equal(divideDims(multiplyDims(a, b), b), a, `${a} times ${b}`);
  }
  assert.equal(divideDims("T+1", "T+1"), 1);
});

Deno.test("divideDims() answers null where a size does not divide", () => {
  const none: [Dim, Dim][] = [[7, 2], [7, 0], ["B", 2], ["B", "T"], ["3*B", 2], ["T+1", "T"], ["B", "2*B"], [
    "B",
    0,
  ]];
  for (const [a, b] of none) assert.equal(divideDims(a, b), null, `${a} by ${b}`);
});

Deno.test("termsOf() and namesIn() take a size apart", () => {
  assert.deepEqual(termsOf("2*B*T+1"), [{ factor: 2, names: ["B", "T"] }, { factor: 1, names: [] }]);
  assert.deepEqual(namesIn("2*B*T+B"), ["B", "T"]);
  assert.deepEqual(namesIn(4), []);
});

Deno.test("bindShape() leaves names without a value open", () => {
  assert.deepEqual(bindShape(["B", "T+1", "B*T", 4], { T: 2 }), ["B", 3, "2*B", 4]);
});

Deno.test("fixedShape() refuses an open size by its name", () => {
  assert.deepEqual(fixedShape([2, 3]), [2, 3]);
  refuses(
    () => fixedShape([2, "T"], "the input x"),
    "the input x [2, T]",
    "open dimension T",
    "fix it, as in --dim",
  );
});

Deno.test("sizeOf() multiplies sizes", () => {
  assert.equal(sizeOf([]), 1);
  assert.equal(sizeOf([2, "B", 3, "T"]), "6*B*T");
});

Deno.test("broadcastShapes() follows NumPy, open sizes included", () => {
  const cases: [Shape, Shape, Shape | null][] = [
    [[2, 3], [3], [2, 3]],
    [[2, 1, 4], [3, 1], [2, 3, 4]],
    [[], [2], [2]],
    [["B", 1], [1, "T"], ["B", "T"]],
    [["B", 3], ["B", 3], ["B", 3]],
    [[2], [3], null],
    [["B"], ["T"], null],
    [["B"], [2], null],
  ];
  for (const [a, b, expected] of cases) {
    assert.deepEqual(broadcastShapes(a, b), expected);
    assert.deepEqual(broadcastShapes(b, a), expected);
  }
});

Deno.test("axisIn() counts from the end, and refuses what is not there", () => {
  assert.deepEqual([-3, -1, 0, 2].map((axis) => axisIn(axis, 3, "op")), [0, 2, 0, 2]);
  for (const axis of [3, -4, 0.5, NaN]) {
    refuses(() => axisIn(axis, 3, "softmax"), `softmax: axis ${axis}`, "rank 3");
  }
});

Deno.test("reshapeTarget() keeps what stays in place and leaves one size to be worked out", () => {
  const cases: [Shape, Shape, number[] | null][] = [
    [[6, 4], [2, 12], [2, 12]],
    [["B", 3, 8], ["B", 3, 2, 4], [0, 3, 2, 4]],
    [["B", 2, "T", 4], ["B", "T", 8], [0, -1, 8]],
    [["B", "T", 4], ["B*T", 4], [-1, 4]],
    [["B*T", 4], ["B", "T", 4], null],
    [["B", "T", 4], ["T", "B", 4], null],
    [["B", "T", 4], ["B", "T", 2, 2], [0, 0, 2, 2]],
    [["B"], [1, "B"], [1, -1]],
    [[1, 1], [], []],
  ];
  for (const [from, to, expected] of cases) {
    assert.deepEqual(reshapeTarget(from, to), expected, `${from} to ${to}`);
  }
});

Deno.test("isDim() takes whole sizes from 1, and named ones in their one form", () => {
  for (const dim of [1, 224, "B", "T_1", "T+1", "2*B", "B*T", "2*B*T+T+3"]) assert.ok(isDim(dim), `${dim}`);
  for (const dim of [0, -1, 1.5, NaN, "", "2", "-1", "1+T", "T*B", "B*2", "B-1", "B ", "a b", "B+B", "T+"]) {
    assert.ok(!isDim(dim), `${dim}`);
  }
});
