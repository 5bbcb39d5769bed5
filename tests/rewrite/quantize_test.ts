import assert from "node:assert/strict";
import { float64Of, heldData } from "../../src/ir/data.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { INT8_TARGETS, type Int8Target } from "../../src/ir/dtype.ts";
import { dataOf } from "../../src/ops/constant.ts";
import { quantized } from "../../src/ops/quantize.ts";
import {
  inBytes,
  integerProducts,
  quantizable,
  type QuantizedProducts,
  quantizeLinears,
} from "../../src/rewrite/backends/quantize.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { quantizedData } from "../../src/weights/derived/derive.ts";
import { slice } from "../nodes.ts";
import { graphOf, input, linear, nodesOf, Random, randomFeeds } from "../support.ts";

const weightsFor = (target: Int8Target) => inBytes({ step: 1, zero: 0 }, target).weight;
const inWholeNumbers = (graph: Graph, products: QuantizedProducts) =>
  runPipeline(graph, integerProducts(products)).graph;

Deno.test("quantizedData() rounds each row by its own scale, to at most half a step", () => {
  const values = Float32Array.of(1, -2, 0.5, 0, 0, 0, 100, 50, -127);
  const { values: whole, scale } = quantizedData(heldData([3, 3], values, "w"), weightsFor("vnni"));
  assert.deepEqual([...float64Of(whole)], [64, -127, 32, 0, 0, 0, 100, 50, -127]);
  const scales = float64Of(scale);
  assert.deepEqual([...scales], [Math.fround(2 / 127), 1, 1]);
  float64Of(whole).forEach((q, i) => {
    const row = Math.floor(i / 3);
    assert.ok(Math.abs(q * scales[row]! - values[i]!) <= scales[row]! / 2 * (1 + 1e-6));
  });
});

Deno.test("quantizedData() for any processor keeps two products of bytes within 16 bits, to at most half a step", () => {
  const random = new Random(4);
  const [rows, columns] = [200, 33];
  const values = random.normals([rows, columns]);
  // Two halves of a step that both round up: 129 together, were that left.
  values.set([64.5, 63.5, 0, -127, ...values.subarray(4, columns).fill(0)]);
  const { values: whole, scale } = quantizedData(heldData([rows, columns], values, "w"), weightsFor("any"));
  const [steps, scales] = [float64Of(whole), float64Of(scale)];
  let largest = 0;
  for (let i = 0; i < steps.length; i++) {
    const row = Math.floor(i / columns);
    assert.ok(Math.abs(steps[i]! * scales[row]! - values[i]!) <= scales[row]! / 2 * (1 + 1e-6));
    if (i % columns % 2 === 1) {
      // What `vpmaddubsw` adds up, at most: the larger of both signs, each product with 255 or 0.
      const pair = [steps[i - 1]!, steps[i]!];
      const most = [1, -1].map((sign) => pair.reduce((sum, q) => sum + Math.max(0, sign * q), 0));
      largest = Math.max(largest, 255 * Math.max(...most));
    }
  }
  assert.equal(largest, 255 * 128);
  assert.deepEqual([...steps.subarray(0, 4)], [65, 63, 0, -127]);
});

Deno.test("quantized() rounds ties to the even step and stays within a byte", () => {
  const attrs = { to: "uint8", zero: 10 } as const;
  assert.deepEqual([0, 0.25, 0.75, -0.25, 1e9, -1e9].map((x) => quantized(x / 0.5, attrs)), [
    10,
    10,
    12,
    10,
    255,
    0,
  ]);
});

for (const target of INT8_TARGETS) {
  Deno.test(`quantizeLinears() for ${target} moves results by no more than the rounding of inputs and weights`, () => {
    const random = new Random(1);
    const graph = graphOf(linear(input("x", [6, 32]), 8, { random }));
    const [product] = quantizable(graph);
    const attrs = { step: 8 / 255, zero: 128 };
    const after = inWholeNumbers(graph, new Map([[product!, inBytes(attrs, target)]]));
    verifyGraph(after, "quantizeLinears");
    assert.deepEqual([nodesOf(after, "linear").length, nodesOf(after, "quantized_linear").length], [0, 1]);
    const feeds = randomFeeds(graph, random);
    const [exact, rounded] = [graph, after].map((g) => evaluateGraph(g, feeds).y!.data) as [
      Float64Array,
      Float64Array,
    ];
    const weight = float64Of(product!.inputs[1]!.attrs.data as Parameters<typeof float64Of>[0]);
    const { inputs: [, , scale] } = nodesOf(after, "quantized_linear")[0]!;
    const scales = float64Of(dataOf(scale!));
    const x = feeds.x!.data;
    exact.forEach((y, i) => {
      const [row, o] = [Math.floor(i / 8), i % 8];
      const [xs, ws] = [x.subarray(row * 32, row * 32 + 32), weight.subarray(o * 32, o * 32 + 32)];
      const scale = scales[o]!;
      // |x w - x' w'| <= |w| step/2 + |x'| scale/2, added up; inputs are within the range.
      const bound = ws.reduce(
        (sum, w, c) => sum + Math.abs(w) * attrs.step / 2 + (Math.abs(xs[c]!) + attrs.step / 2) * scale / 2,
        0,
      );
      assert.ok(Math.abs(rounded[i]! - y) <= bound, `${rounded[i]} is not ${y}`);
    });
  });
}

Deno.test("quantizeLinears() leaves products that it is not told about", () => {
  const random = new Random(2);
  const graph = graphOf(
    linear(linear(input("x", [2, 4]), 4, { random, name: "a" }), 4, { random, name: "b" }),
  );
  const second = quantizable(graph).find(({ name }) => name === "b")!;
  const after = inWholeNumbers(graph, new Map([[second, inBytes({ step: 0.1, zero: 0 }, "any")]]));
  assert.deepEqual(nodesOf(after, "linear").map(({ name }) => name), ["a"]);
});

Deno.test("quantizeLinears() makes slices of a product with one scale products with slices of its weight", () => {
  const random = new Random(3);
  const product = linear(input("x", [5, 16]), 48, { random });
  const thirds = ["q", "k", "v"].map((
    name,
    i,
  ) => [name, slice(product, { axis: -1, start: 16 * i, size: 16 })]);
  const [sliced, whole] = [Object.fromEntries(thirds), { whole: product }].map((outputs) => graphOf(outputs));
  for (const to of ["int8", "fp8"] as const) {
    const made = (graph: Graph, each: "weight" | "row") =>
      quantizeLinears(
        new Map([[product, { input: { to, step: 0.03, zero: 0 }, weight: { to, each, steps: "fp32" } }]]),
      ).run(graph).graph;
    const apart = made(sliced!, "weight");
    const count = (op: string) => nodesOf(apart, op).length;
    assert.deepEqual([count("slice"), count("linear"), count("quantize")], [0, 3, 1]);
    const feeds = randomFeeds(apart, random);
    const { q, k, v } = evaluateGraph(apart, feeds);
    const together = evaluateGraph(made(whole!, "weight"), feeds).whole!.data;
    assert.deepEqual(
      together.map((_, i) => [q!, k!, v!][Math.floor(i % 48 / 16)]!.data[Math.floor(i / 48) * 16 + i % 16]!),
      together,
    );
    assert.deepEqual(["slice", "linear"].map((op) => nodesOf(made(sliced!, "row"), op).length), [3, 1]);
  }
});
