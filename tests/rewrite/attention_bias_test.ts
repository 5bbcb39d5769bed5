import assert from "node:assert/strict";
import type { Node } from "../../src/ir/graph.ts";
import { moveAttentionBiases } from "../../src/rewrite/attention/attention_bias.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import {
  EXACT,
  graphOf,
  input,
  linear,
  meaningDifference,
  nodesOf,
  param,
  Random,
  valuesOf,
} from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";
import { add, repeatHeads, reshape, scaledDotProductAttention, slice, transpose } from "../nodes.ts";

Deno.test("moveAttentionBiases() keeps the meaning of encoders and decoders", () => {
  const models = [true, false].flatMap((packed) =>
    [true, false].flatMap((causal) => [true, false].map((outBias) => encoder({ packed, causal, outBias })))
  );
  for (const [seed, model] of [...models, decoder()].entries()) {
    const graph = traced(model, { seed });
    const { graph: after, moved } = moveAttentionBiases(graph);
    verifyGraph(after, "moveAttentionBiases");
    assert.equal(moved, 2 * nodesOf(graph, "attention").length);
    assert.ok(meaningDifference(after, graph, seed) <= EXACT);
  }
});

Deno.test("moveAttentionBiases() drops the bias of k and moves that of v behind the attention", () => {
  const graph = traced(encoder({ packed: false, outBias: false, depth: 1 }));
  const { graph: after } = moveAttentionBiases(graph);
  const inputsOf = (leaf: string) =>
    nodesOf(after, "linear").find(({ name }) => name.endsWith(leaf))!.inputs.length;
  assert.deepEqual(["q_proj", "k_proj", "v_proj", "out_proj"].map(inputsOf), [3, 2, 2, 3]);
});

Deno.test("moveAttentionBiases() zeroes the thirds of k and v in a packed bias", () => {
  const graph = traced(encoder({ depth: 1 }));
  const biasOf = (g: typeof graph) =>
    valuesOf(nodesOf(g, "linear").find(({ name }) => name.endsWith("qkv"))!.inputs[2]!);
  const [before, after] = [biasOf(graph), biasOf(moveAttentionBiases(graph).graph)];
  assert.deepEqual(after.subarray(0, 8), before.subarray(0, 8));
  assert.ok(after.subarray(8).every((b) => b === 0));
});

Deno.test("moveAttentionBiases() leaves a bias that somebody else reads", () => {
  const heads = (x: Node) => transpose(reshape(x, [2, 3, 2, 2]), [0, 2, 1, 3]);
  const joined = (x: Node) => reshape(transpose(x, [0, 2, 1, 3]), [2, 3, 4]);
  const third = (x: Node, i: number) => slice(x, { axis: -1, start: 4 * i, end: 4 * (i + 1) });
  const others: Readonly<Record<string, (packed: Node) => Node>> = {
    "the whole": (packed) => packed,
    "a slice of the same rows": (packed) => slice(packed, { axis: 2, start: 6, end: 10 }),
    "a slice of tokens": (packed) => slice(packed, { axis: 1, start: 0, end: 1 }),
    "every other row": (packed) => slice(packed, { axis: 2, start: 1, end: 12, step: 2 }),
  };
  for (const [name, other] of Object.entries(others)) {
    const random = new Random(1);
    const packed = linear(input("x", [2, 3, 4]), 12, { random, name: "qkv" });
    const [q, k, v] = [0, 1, 2].map((i) => heads(third(packed, i))) as [Node, Node, Node];
    const mask = param("mask", [3, 3], { random });
    const mixed = joined(scaledDotProductAttention({ q, k, v, mask }));
    const graph = graphOf({ y: linear(mixed, 4, { random, name: "out" }), other: other(packed) });
    const { graph: after } = moveAttentionBiases(graph);
    assert.ok(meaningDifference(after, graph, 2) <= EXACT, name);
  }
});

Deno.test("moveAttentionBiases() leaves a bias of v where the attention has another reader", () => {
  const random = new Random(3);
  const x = input("x", [2, 3, 4]);
  const heads = (name: string) =>
    transpose(reshape(linear(x, 4, { random, name }), [2, 3, 2, 2]), [0, 2, 1, 3]);
  const mixed = scaledDotProductAttention({ q: heads("q"), k: heads("k"), v: heads("v") });
  const joined = reshape(transpose(mixed, [0, 2, 1, 3]), [2, 3, 4]);
  const graph = graphOf(add(linear(joined, 4, { random, name: "out" }), joined));
  const { graph: after, moved } = moveAttentionBiases(graph);
  assert.equal(moved, 1);
  assert.ok(meaningDifference(after, graph, 4) <= EXACT);
});

Deno.test("moveAttentionBiases() gives the bias of grouped values on from every head that they serve", () => {
  const random = new Random(5);
  const x = input("x", [2, 3, 4]);
  const heads = (name: string, count: number) =>
    transpose(reshape(linear(x, 2 * count, { random, name }), [2, 3, count, 2]), [0, 2, 1, 3]);
  const [k, v] = ["k", "v"].map((name) => repeatHeads(heads(name, 2), 4)) as [Node, Node];
  const mixed = scaledDotProductAttention({ q: heads("q", 4), k, v });
  const joined = reshape(transpose(mixed, [0, 2, 1, 3]), [2, 3, 8]);
  const graph = graphOf(linear(joined, 4, { random, name: "out" }));
  const { graph: after, moved } = moveAttentionBiases(graph);
  assert.equal(moved, 2);
  assert.deepEqual(nodesOf(after, "linear").map(({ name, inputs }) => `${name} ${inputs.length}`).sort(), [
    "k 2",
    "out 3",
    "q 3",
    "v 2",
  ]);
  assert.ok(meaningDifference(after, graph, 6) <= EXACT);
});
