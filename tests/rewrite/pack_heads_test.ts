import assert from "node:assert/strict";
import { mergeQkv } from "../../src/rewrite/attention/merge_qkv.ts";
import { packHeads } from "../../src/rewrite/attention/pack_heads.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { bindDims, meaningDifference, nodesOf } from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";

Deno.test("packHeads() splits the heads of q, k and v at once and keeps the meaning exactly", () => {
  for (const causal of [true, false]) {
    const graph = traced(encoder({ causal }));
    const { graph: after } = packHeads(graph);
    verifyGraph(after, "packHeads");
    assert.ok(nodesOf(after, "attention").every(({ attrs }) => attrs.fused === true));
    assert.equal(nodesOf(after, "reshape").filter(({ type }) => type.shape.length === 5).length, 2);
    assert.equal(meaningDifference(after, graph, 1), 0);
  }
});

Deno.test("packHeads() takes an open batch", () => {
  const open = traced(encoder(), { dims: {} });
  const { graph: after } = packHeads(open);
  verifyGraph(after, "packHeads");
  const dims = { B: 3 };
  assert.equal(meaningDifference(bindDims(after, dims), bindDims(open, dims), 2), 0);
});

Deno.test("packHeads() leaves products without bias and attentions over two tensors", () => {
  const bare = traced(encoder({ qkvBias: false }));
  assert.ok(nodesOf(packHeads(bare).graph, "attention").every(({ attrs }) => attrs.fused !== true));
  const graph = mergeQkv(traced(decoder(), { norm: { ...decoder().norm, apply: (x) => x } })).graph;
  const { graph: after } = packHeads(graph);
  assert.deepEqual(nodesOf(after, "attention").map(({ attrs }) => attrs.fused === true), [true, false]);
  assert.equal(meaningDifference(after, graph, 3), 0);
});
