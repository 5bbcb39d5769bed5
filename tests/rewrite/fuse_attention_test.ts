import assert from "node:assert/strict";
import type { Node } from "../../src/ir/graph.ts";
import { fuseAttention } from "../../src/rewrite/attention/fuse_attention.ts";
import { apply } from "../../src/ops/table.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { EXACT, graphOf, input, linear, meaningDifference, nodesOf, Random, theNode } from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";
import { reshape, scaledDotProductAttention, transpose } from "../nodes.ts";

Deno.test("fuseAttention() keeps the meaning, with the packed product or without", () => {
  const models = [encoder(), encoder({ causal: true }), encoder({ qkvBias: false }), decoder()];
  for (const [seed, model] of models.entries()) {
    const { graph } = optimize(traced(model, { seed }));
    const attentions = nodesOf(graph, "attention").length;
    for (const products of [true, false]) {
      const { graph: after, fused } = fuseAttention(graph, { products });
      verifyGraph(after, "fuseAttention");
      assert.deepEqual([fused, nodesOf(after, "attention").length], [attentions, 0]);
      if (!products) assert.equal(nodesOf(after, "self_attention").length, 0);
      assert.ok(meaningDifference(after, graph, seed) <= EXACT);
    }
  }
});

Deno.test("fuseAttention() takes the product in where q, k and v are all that reads it", () => {
  const { graph } = optimize(traced(decoder()));
  const { graph: after } = fuseAttention(graph, { products: true });
  // The decoder attends to itself, and to another sequence.
  assert.equal(nodesOf(after, "self_attention").length, 1);
  assert.equal(nodesOf(after, "token_attention").length, 1);
});

Deno.test("fuseAttention() takes a causal mask of one token for none, and a lone head as its tokens", () => {
  const random = new Random(1);
  const x = input("x", [2, 1, 4]);
  const [q, k, v] = ["q", "k", "v"].map((name) => reshape(linear(x, 4, { random, name }), [2, 1, 1, 4])) as [
    Node,
    Node,
    Node,
  ];
  const graph = graphOf(scaledDotProductAttention({ q, k, v }, { causal: true }));
  const { graph: after, fused } = fuseAttention(graph, { products: true });
  assert.equal(fused, 1);
  assert.equal(theNode(after, "token_attention").attrs.causal, false);
  assert.ok(meaningDifference(after, graph, 2) <= EXACT);
});

Deno.test("fuseAttention() leaves heads of values that are wider than those of queries", () => {
  const random = new Random(3);
  const x = input("x", [2, 3, 4]);
  const heads = (name: string, size: number) =>
    transpose(reshape(linear(x, 2 * size, { random, name }), [2, 3, 2, size]), [0, 2, 1, 3]);
  const graph = graphOf(scaledDotProductAttention({ q: heads("q", 2), k: heads("k", 2), v: heads("v", 3) }));
  assert.equal(fuseAttention(graph, { products: true }).fused, 0);
});

Deno.test("fuseAttention() leaves a mask of queries and keys alone, which the fused operator does not broadcast", () => {
  const random = new Random(4);
  const x = input("x", [2, 3, 4]);
  const [q, k, v] = ["q", "k", "v"].map((name) =>
    transpose(reshape(linear(x, 4, { random, name }), [2, 3, 2, 2]), [0, 2, 1, 3])
  ) as [Node, Node, Node];
  const maskedBy = (shape: readonly number[]) =>
    fuseAttention(
      graphOf(apply("attention", [q, k, v, input("mask", shape)], { attrs: { scale: 1, causal: false } })),
      { products: true },
    );
  assert.deepEqual([[3], [3, 3], [2, 3, 3], [1, 1, 3, 3]].map((shape) => maskedBy(shape).fused), [
    0,
    0,
    0,
    1,
  ]);
});
