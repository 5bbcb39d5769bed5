import assert from "node:assert/strict";
import { add } from "../../src/dsl/tensor.ts";
import type { Node } from "../../src/ir/graph.ts";
import { apply } from "../../src/ops/mod.ts";
import { mergeQkv } from "../../src/rewrite/merge_qkv.ts";
import { moveQueryBiases } from "../../src/rewrite/query_bias.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import {
  bindDims,
  EXACT,
  graphOf,
  input,
  linear,
  meaningDifference,
  nodesOf,
  param,
  Random,
} from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";

Deno.test("moveQueryBiases() keeps the meaning, packed or not, causal or not", () => {
  for (const packed of [true, false]) {
    for (const causal of [true, false]) {
      for (let seed = 0; seed < 3; seed++) {
        const graph = traced(encoder({ packed, causal }), { seed });
        const { graph: after, moved } = moveQueryBiases(graph);
        verifyGraph(after, "moveQueryBiases");
        assert.equal(moved, 2);
        assert.equal(nodesOf(after, "attention").length, 0);
        assert.ok(meaningDifference(after, graph, seed) <= EXACT);
      }
    }
  }
});

Deno.test("moveQueryBiases() leaves products for queries without a bias", () => {
  const after = moveQueryBiases(traced(encoder({ packed: false }))).graph;
  const queries = nodesOf(after, "linear").filter(({ name }) => name.endsWith("q_proj"));
  assert.deepEqual(queries.map(({ inputs }) => inputs.length), [2, 2]);
});

Deno.test("moveQueryBiases() takes an open batch, and no causal mask of an open length", () => {
  const open = traced(encoder(), { dims: {} });
  const { graph: after } = moveQueryBiases(open);
  verifyGraph(after, "moveQueryBiases");
  assert.ok(meaningDifference(bindDims(after, { B: 3 }), bindDims(open, { B: 3 }), 2) <= EXACT);

  const random = new Random(1);
  const x = input("x", [2, "T", 4]);
  const heads = (name: string) => swapped(linear(x, 4, { random, name }), ["T"], 2);
  const attend = (causal: boolean) =>
    graphOf(
      apply("attention", [heads("q"), heads("k"), heads("v")], {
        attrs: { scale: 0.5, causal },
        name: "mixed",
      }),
    );
  assert.equal(moveQueryBiases(attend(true)).moved, 0);
  assert.equal(moveQueryBiases(attend(false)).moved, 1);
});

Deno.test("moveQueryBiases() takes masks of every shape, and attention over another sequence", () => {
  const masks = [[5, 5], [2, 5, 5], [1, 2, 5, 5], [6, 1, 5, 5], [3, 2, 5, 5], [6, 2, 1, 5]];
  masks.forEach((shape, seed) => {
    const random = new Random(seed);
    const x = input("x", [2, 15, 4]);
    const [q, k, v] = ["q", "k", "v"].map((name) => swapped(linear(x, 4, { random, name }), [5], 2, 6));
    const mask = param("mask", shape, { random });
    const graph = graphOf(
      apply("attention", [q!, k!, v!, mask], {
        attrs: { scale: 0.7, causal: seed % 2 === 1 },
        name: "mixed",
      }),
    );
    const { graph: after, moved } = moveQueryBiases(graph);
    verifyGraph(after, "moveQueryBiases");
    assert.equal(moved, 1);
    assert.ok(meaningDifference(after, graph, seed) <= EXACT, shape.join());
  });
  const graph = mergeQkv(traced(decoder(), { norm: { ...decoder().norm, apply: (x) => x } })).graph;
  const { graph: after, moved } = moveQueryBiases(graph);
  assert.equal(moved, 2);
  assert.ok(meaningDifference(after, graph, 3) <= EXACT);
});

Deno.test("moveQueryBiases() leaves a single query, and a product that something else reads", () => {
  const random = new Random(5);
  const x = input("x", [2, 5, 4]);
  const [k, v] = ["k", "v"].map((name) => swapped(linear(x, 4, { random, name }), [5], 2));
  const one = swapped(linear(input("token", [2, 1, 4]), 4, { random, name: "q" }), [1], 2);
  const attend = (q: Node) =>
    apply("attention", [q, k!, v!], { attrs: { scale: 0.5, causal: false }, name: "mixed" });
  assert.equal(moveQueryBiases(graphOf(attend(one))).moved, 0);
  const product = linear(x, 4, { random, name: "q" });
  const shared = attend(swapped(product, [5], 2));
  assert.equal(moveQueryBiases(graphOf({ shared, other: add(product, product) })).moved, 0);
});

/** `[B, T, C]` as `[B', H, T', D]`. */
function swapped(x: Node, [tokens]: readonly [number | string], heads: number, batch = 2): Node {
  const split = apply("reshape", [x], { attrs: { shape: [batch, tokens!, heads, 2] } });
  return apply("transpose", [split], { attrs: { permutation: [0, 2, 1, 3] } });
}
