import assert from "node:assert/strict";
import { fuseAttention } from "../../src/rewrite/attention/fuse_attention.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { EXACT, meaningDifference, nodesOf } from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";

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
