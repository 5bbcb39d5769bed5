/**
 * `foldNorm` where it must fold: random graphs and weights, meaning before = meaning after. Scales are powers
 * of two (see `affine`), so that folding rounds nothing and the two agree to the last digits of float64; the
 * rounding itself is in `round_once_test.ts`.
 */
import assert from "node:assert/strict";
import { apply } from "../../src/ops/table.ts";
import type { Graph, Node } from "../../src/ir/graph.ts";
import { foldNorm, type NormFold } from "../../src/rewrite/fold/fold_norm.ts";
import { remainingNorms } from "../../src/rewrite/pipeline.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import {
  affine,
  dataOf,
  EXACT,
  graphOf,
  input,
  linear,
  meaningDifference,
  nodesOf,
  param,
  Random,
  theNode,
  valuesOf,
} from "../support.ts";
import { endInLinear, randomPath, STEPS } from "./paths.ts";
import { add, concat, gelu, mul, reshape, scaledDotProductAttention, transpose } from "../nodes.ts";

/** Folds, and checks that the meaning stayed and nothing is left. */
function foldsExactly(graph: Graph, what = ""): { graph: Graph; norms: readonly NormFold[] } {
  const result = foldNorm(graph);
  for (const norm of result.norms) assert.ok(norm.folded, `${what}: ${JSON.stringify(norm.refused)}`);
  assert.equal(remainingNorms(result.graph), 0, what);
  verifyGraph(result.graph, "foldNorm");
  const error = meaningDifference(result.graph, graph, 7);
  assert.ok(error <= EXACT, `${what}: meanings differ by ${error}`);
  return result;
}

for (const [name, step] of Object.entries(STEPS)) {
  Deno.test(`foldNorm() folds through ${name}`, () => {
    for (let seed = 0, tried = 0; tried < 8; seed++) {
      const random = new Random(seed);
      const axis = random.integer(0, 2);
      const norm = affine(input("x", [4, 6, 8]), { random, axis });
      const carried = step({ x: norm, axis }, random);
      if (carried === null) continue;
      tried++;
      const graph = graphOf(endInLinear(carried, { name: "fc", random }));
      const { norms } = foldsExactly(graph, `seed ${seed}`);
      assert.ok(norms[0]!.through.includes(carried.x.op));
      assert.deepEqual(norms[0]!.into, ["fc"]);
    }
  });
}

Deno.test("foldNorm() folds random paths to several products", () => {
  for (let seed = 0; seed < 60; seed++) {
    const random = new Random(1000 + seed);
    const axis = random.integer(0, 2);
    const norm = affine(input("x", [4, 6, 8]), { random, axis });
    const outputs = Object.fromEntries(
      Array.from({ length: random.integer(1, 3) }, (_, i) => {
        const path = { count: random.integer(0, 6), name: `fc${i}`, random };
        return [`y${i}`, randomPath({ x: norm, axis }, path)];
      }),
    );
    foldsExactly(graphOf(outputs), `seed ${seed}`);
  }
});

Deno.test("foldNorm() folds into the products of q, k and v and of the MLP", () => {
  const random = new Random(3);
  const x = input("x", [2, 5, 8]);
  const norm = affine(x, { random, name: "norm1" });
  const heads = (name: string) =>
    transpose(reshape(linear(norm, 8, { random, name, bias: name !== "k" }), [2, 5, 2, 4]), [0, 2, 1, 3]);
  const mixed = scaledDotProductAttention({ q: heads("q"), k: heads("k"), v: heads("v") });
  const joined = reshape(transpose(mixed, [0, 2, 1, 3]), [2, 5, 8]);
  const y = add(x, linear(joined, 8, { random, name: "proj" }));
  const fc1 = linear(affine(y, { random, name: "norm2" }), 16, { random, name: "fc1" });
  const graph = graphOf(add(y, linear(gelu(fc1), 8, { random, name: "fc2" })));
  const { norms } = foldsExactly(graph);
  assert.deepEqual(norms.map(({ norm, into }) => [norm, into]), [["norm1", ["q", "k", "v"]], ["norm2", [
    "fc1",
  ]]]);
});

Deno.test("foldNorm() folds into a convolution over channels first", () => {
  for (const bias of [true, false]) {
    const random = new Random(4);
    const norm = affine(input("x", [2, 4, 4, 3]), { random });
    const weight = param("weight", [5, 3, 2, 2], { random });
    const inputs = [transpose(norm, [0, 3, 1, 2]), weight, ...bias ? [param("bias", [5], { random })] : []];
    const conv = apply("conv", inputs, { attrs: { stride: [2, 2], padding: [0, 0] }, name: "proj" });
    foldsExactly(graphOf(conv));
  }
});

Deno.test("foldNorm() folds into a padded convolution where the shift is zero", () => {
  const random = new Random(5);
  const norm = affine(input("x", [2, 3, 4, 4]), { random, axis: 1, shift: false });
  const weight = param("weight", [5, 3, 3, 3], { random });
  foldsExactly(graphOf(apply("conv", [norm, weight], { attrs: { stride: [1, 1], padding: [1, 1] } })));
});

Deno.test("foldNorm() adds a bias where there was none, named after its product", () => {
  const random = new Random(6);
  const graph = graphOf(
    linear(affine(input("x", [2, 4]), { random }), 3, { random, name: "a.fc", bias: false }),
  );
  const after = foldsExactly(graph).graph;
  const [, weight, bias] = theNode(after, "linear").inputs;
  assert.deepEqual([weight!.name, bias!.name], ["a.fc.weight", "a.fc.bias"]);
  assert.equal(dataOf(bias!).dtype, "fp64");
});

Deno.test("foldNorm() folds an affine into another, and both into the product", () => {
  const random = new Random(7);
  const inner = affine(input("x", [2, 3, 4]), { random, name: "norm1" });
  const outer = affine(inner, { random, name: "norm2", axis: 2 });
  const { norms } = foldsExactly(graphOf(linear(outer, 3, { random })));
  assert.deepEqual(norms.map(({ norm, into }) => [norm, into]), [["norm1", ["norm2"]], ["norm2", ["fc"]]]);
});

Deno.test("foldNorm() folds two affines that meet in a concat", () => {
  const random = new Random(8);
  const parts = ["a", "b"].map((name) => affine(input(name, [2, 3, 4]), { random, name: `norm_${name}` }));
  const { norms } = foldsExactly(graphOf(linear(concat(parts, { axis: -1 }), 5, { random })));
  assert.deepEqual(norms.map(({ norm }) => norm), ["norm_a", "norm_b"]);
});

Deno.test("foldNorm() folds a normalization applied twice under one name", () => {
  const random = new Random(9);
  const [x, z] = [input("x", [2, 4]), input("z", [2, 4])];
  const once = linear(affine(x, { random: new Random(1) }), 3, { random, name: "fc1" });
  const again = linear(affine(z, { random: new Random(1) }), 3, { random, name: "fc2" });
  const { norms } = foldsExactly(graphOf(add(once, again)));
  assert.deepEqual(norms.map(({ norm, into }) => [norm, into]), [["norm", ["fc1"]], ["norm#2", ["fc2"]]]);
});

Deno.test("foldNorm() unties a weight that another product shares", () => {
  const random = new Random(10);
  const x = input("x", [2, 4]);
  const weight = param("tied.weight", [3, 4], { random });
  const product = (y: Node, name: string) => apply("linear", [y, weight], { attrs: {}, name });
  const graph = graphOf(add(product(affine(x, { random }), "normalized"), product(x, "plain")));
  const { graph: after } = foldsExactly(graph);
  const [normalized, plain] = nodesOf(after, "linear").map((node) => node.inputs[1]!);
  assert.equal(plain, weight);
  assert.notEqual(normalized, weight);
  assert.notDeepEqual(valuesOf(normalized!), valuesOf(weight));
});

Deno.test("foldNorm() leaves values and constants it does not touch shared with the old graph", () => {
  const random = new Random(11);
  const x = input("x", [2, 4]);
  const untouched = linear(x, 3, { random, name: "plain" });
  const graph = graphOf({ a: untouched, b: linear(affine(x, { random }), 3, { random }) });
  assert.equal(foldNorm(graph).graph.outputs[0]!.node, untouched);
});

Deno.test("foldNorm() reads no weight before somebody asks for its bytes", () => {
  const random = new Random(12);
  const unread = (node: Node): Node => {
    const data = { ...dataOf(node), bytes: () => assert.fail(`${node.name} was read`) };
    return { ...node, attrs: { ...node.attrs, data } };
  };
  const x = affine(input("x", [2, 4]), { random });
  const weight = unread(param("weight", [3, 4], { random }));
  const graph = graphOf(apply("linear", [x, weight], { attrs: {}, name: "fc" }));
  assert.equal(foldNorm(graph).norms[0]!.folded, true);
});

Deno.test("foldNorm() is the identity without normalizations", () => {
  const random = new Random(13);
  const graph = graphOf(mul(linear(input("x", [2, 4]), 3, { random }), param("gate", [3], { random })));
  const result = foldNorm(graph);
  assert.deepEqual(result.norms, []);
  assert.equal(result.graph.outputs[0]!.node, graph.outputs[0]!.node);
});
