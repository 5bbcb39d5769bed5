import assert from "node:assert/strict";
import { layerNorm, unifiedNorm } from "../../src/norms/families.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { scaleQueries } from "../../src/rewrite/attention/scale_queries.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { EXACT, graphOf, input, meaningDifference, nodesOf } from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";
import { scaledDotProductAttention } from "../nodes.ts";

/** `a (W s)` is rounded to fp32 as one factor where the description rounds `W s` alone. */
const ROUNDED_ONCE = 1e-6;

Deno.test("scaleQueries() leaves attentions a factor of one, of packed and separate products, with and without a bias", () => {
  const models = [
    encoder(),
    encoder({ packed: false }),
    encoder({ qkvBias: false, causal: true }),
    decoder(),
  ];
  for (const [seed, model] of models.entries()) {
    for (const norm of [unifiedNorm(), layerNorm()]) {
      const { graph } = optimize(traced(model, { seed, norm }));
      const { graph: after, scaled } = scaleQueries(graph);
      verifyGraph(after, "scaleQueries");
      const attentions = nodesOf(after, "attention");
      assert.equal(scaled, attentions.length);
      assert.ok(attentions.every(({ attrs }) => attrs.scale === 1));
      assert.ok(meaningDifference(after, graph, seed) <= ROUNDED_ONCE);
    }
  }
});

Deno.test("scaleQueries() leaves queries that no product makes", () => {
  const [q, k] = [input("q", [1, 2, 3, 4]), input("k", [1, 2, 3, 4])];
  const graph = graphOf(scaledDotProductAttention({ q, k, v: k }));
  const { graph: after, scaled } = scaleQueries(graph);
  assert.equal(scaled, 0);
  assert.ok(meaningDifference(after, graph, 1) <= EXACT);
});
