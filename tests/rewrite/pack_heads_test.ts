import assert from "node:assert/strict";
import { mergeQkv } from "../../src/rewrite/attention/merge_qkv.ts";
import { packHeads } from "../../src/rewrite/attention/pack_heads.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { GPT2, gpt2 } from "../../src/models/gpt2.ts";
import { bindDims, difference, EXACT, meaningDifference, nodesOf } from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";

Deno.test("packHeads() splits the heads of q, k and v at once and keeps the meaning", () => {
  for (const causal of [true, false]) {
    const graph = traced(encoder({ causal }));
    const { graph: after } = packHeads(graph);
    verifyGraph(after, "packHeads");
    assert.equal(nodesOf(after, "attention").length, 0);
    assert.equal(nodesOf(after, "reshape").filter(({ type }) => type.shape.length === 5).length, 2);
    assert.ok(nodesOf(after, "softmax").every(({ type }) => type.shape.length === 3));
    // A factor goes on the queries, where it was on the logits.
    assert.ok(meaningDifference(after, graph, 1) < EXACT);
  }
});

Deno.test("packHeads() takes an open batch", () => {
  const open = traced(encoder(), { dims: {} });
  const { graph: after } = packHeads(open);
  verifyGraph(after, "packHeads");
  const dims = { B: 3 };
  assert.ok(meaningDifference(bindDims(after, dims), bindDims(open, dims), 2) < EXACT);
});

Deno.test("packHeads() leaves a causal mask over an open number of tokens to the operator", () => {
  const sizes = { vocabulary: 11, context: 8, channels: 8, depth: 1, heads: 2, hidden: 16 };
  const model = gpt2({ ...GPT2, ...sizes });
  const open = traced(model, { dims: { B: 2 } });
  const { graph: after, packed } = packHeads(open);
  assert.deepEqual([packed, nodesOf(after, "attention").length], [1, 1]);
  const [ids] = Object.keys(model.inputs);
  const feeds = { [ids!]: { shape: [2, 3], data: Float64Array.of(1, 2, 3, 4, 5, 6) } };
  const [before, then] = [open, after].map((graph) => evaluateGraph(bindDims(graph, { T: 3 }), feeds));
  assert.equal(difference(then!, before!), 0);
});

Deno.test("packHeads() leaves products without bias and attentions over two tensors", () => {
  const bare = traced(encoder({ qkvBias: false }));
  assert.deepEqual(packHeads(bare).packed, 0);
  const graph = mergeQkv(traced(decoder(), { norm: { ...decoder().norm, apply: (x) => x } })).graph;
  const { graph: after } = packHeads(graph);
  assert.deepEqual(["attention", "softmax"].map((op) => nodesOf(after, op).length), [1, 1]);
  assert.ok(meaningDifference(after, graph, 3) < EXACT);
});
