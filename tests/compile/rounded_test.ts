/**
 * Rounded runs against their own meaning: ONNX Runtime rounds where it is told to, overflows, and keeps
 * scores in fp32.
 */
import assert from "node:assert/strict";
import type { Examples } from "../../src/compile/examples.ts";
import { observe } from "../../src/compile/rounded.ts";
import { constant as constantTensor, float, model } from "../../src/dsl/mod.ts";
import { op, type Tensor } from "../../src/dsl/tensor.ts";
import { onnxBytes } from "../../src/emit/onnx.ts";
import { bytesFromNumbers, float64FromBytes, heldData } from "../../src/ir/data.ts";
import type { Narrow } from "../../src/ir/dtype.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { writtenOut } from "../../src/rewrite/attention/write_attention.ts";
import { isOp } from "../../src/ops/table.ts";
import { mapGraph } from "../../src/ir/graph.ts";
import { type AttrsOf, type OpName, rebuild } from "../../src/ops/table.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { constant, matmul, mul, scaledDotProductAttention, sub } from "../nodes.ts";

const weights = randomWeights({ seed: 1 });

const examplesOf = (shape: readonly number[], values: readonly number[]): Examples => ({
  count: 1,
  inputs: { x: heldData(shape, Float64Array.from(values), "x") },
  batched: new Set(),
  labels: null,
  logits: {},
});

const run = (rounds: boolean) =>
(
  graph: Parameters<typeof observe>[0],
  examples: Examples,
) =>
  observe(graph, {
    rounds,
    examples,
    batch: 1,
    write: (graph, probe) => Promise.resolve(onnxBytes(graph, { probe })),
  });

/**
 * `(k x) - x` with k = 1 + 2^-9, which is 1 in bf16 and not in fp16; the constant is rounded with everything
 * else.
 */
const difference = (precision: Narrow) =>
  model({
    name: "difference",
    inputs: { x: float([4]) },
    norm: unifiedNorm(),
    forward: ({ x }) => sub(mul(x, constant([1 + 2 ** -9], { shape: [1], dtype: precision })), x),
  }).trace({ weights, precision });

Deno.test("observe() rounds each result to fp16 or bf16, ties to even, and not with rounds: false", async () => {
  const values = [1, 3, 1000.3, -7.77];
  for (const precision of ["fp16", "bf16"] as const) {
    const round = (values: readonly number[]) => [
      ...float64FromBytes(bytesFromNumbers(Float64Array.from(values), precision), precision),
    ];
    const k = round([1 + 2 ** -9])[0]!;
    const x = round(values);
    const product = round(x.map((value) => k * value));
    const expected = round(product.map((value, i) => value - x[i]!));
    const { outputs } = await run(true)(difference(precision), examplesOf([4], values));
    assert.deepEqual([...outputs.output!.data], expected);
    const { outputs: exact } = await run(false)(difference(precision), examplesOf([4], values));
    if (precision === "fp16") assert.notDeepEqual([...exact.output!.data], expected);
  }
});

Deno.test("observe() overflows to infinity where fp16 does, and says what was reached", async () => {
  const squares = model({
    name: "squares",
    inputs: { x: float([3]) },
    norm: unifiedNorm(),
    forward: ({ x }) => mul(x, x),
  }).trace({ weights, precision: "fp16" });
  const { outputs, seen } = await run(true)(squares, examplesOf([3], [300, 255, -255.75]));
  assert.deepEqual([...outputs.output!.data], [Infinity, 65024, 65408]);
  assert.deepEqual(seen.map(({ largest }) => largest), [300, 90000]);
});

Deno.test("observe() keeps the scores of an attention in fp32, masked or not, and rounds its other products", async () => {
  const graph = model({
    name: "scores",
    inputs: { x: float([1, 1, 3, 2]) },
    norm: unifiedNorm(),
    forward: ({ x }) => ({
      y: scaledDotProductAttention({ q: x, k: x, v: x }, { scale: 1, causal: true }),
      z: matmul(x, x, { transposeB: true }),
    }),
  }).trace({ weights, precision: "fp16" });
  const written = mapGraph(
    graph,
    (node, inputs) => isOp(node, "attention") ? writtenOut(node, inputs) : rebuild(node, inputs),
  );
  const { outputs, seen } = await run(true)(
    written,
    examplesOf([1, 1, 3, 2], [300, 0, 0, 300, 1, 1]),
  );
  assert.ok(outputs.y!.data.every(Number.isFinite));
  assert.deepEqual([outputs.z!.data[0], outputs.z!.data[1]], [Infinity, 0]);
  const products = seen.filter(({ node }) => node.op === "matmul");
  assert.deepEqual(products.map(({ isScore, largest }) => [isScore, largest]), [
    [true, 90000],
    [false, 300],
    [false, 90000],
  ]);
  assert.ok(seen.every(({ node }) => node.op !== "add"), "scores with a mask of -infinity are not measured");
});

Deno.test("observe() does not measure masks by choice, and looks past a softmax that is guarded against NaN", async () => {
  const apply = <Name extends OpName>(name: Name, ...inputs: Tensor[]) =>
    op(name, inputs, { attrs: {} as AttrsOf<Name> });
  const graph = model({
    name: "guarded",
    inputs: { x: float([1, 3]) },
    norm: unifiedNorm(),
    forward: ({ x }) => {
      const number = (value: number) => constantTensor(value, { dtype: "float" });
      const isHidden = apply("less", x, number(0));
      const added = x.add(apply("where", isHidden, number(-Infinity), number(0))).softmax();
      const chosen = apply("where", isHidden, number(-Infinity), x).softmax();
      const guarded = [added, chosen].map((y) => apply("where", apply("is_nan", y), number(0), y));
      return { added: guarded[0]!, chosen: guarded[1]! };
    },
  }).trace({ weights, precision: "fp16" });
  for (const values of [[1, -1, 1], [-1, -2, -3]]) {
    const { outputs, seen } = await run(true)(graph, examplesOf([1, 3], values));
    const expected = values[0] === 1 ? [0.5, 0, 0.5] : [0, 0, 0];
    assert.deepEqual([...outputs.added!.data, ...outputs.chosen!.data], [...expected, ...expected]);
    assert.ok(seen.every(({ largest }) => Number.isFinite(largest)));
    assert.deepEqual(seen.map(({ node }) => node.op), ["input", "where", "where"]);
  }
});
