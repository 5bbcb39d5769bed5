import assert from "node:assert/strict";
import { apply } from "../../src/ops/table.ts";
import type { Node } from "../../src/ir/graph.ts";
import { mergeQkv } from "../../src/rewrite/attention/merge_qkv.ts";
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
import { add, reshape, scaledDotProductAttention, transpose } from "../nodes.ts";

const heads = (x: Node) => {
  const [batch, tokens, channels] = x.type.shape as readonly number[];
  return transpose(reshape(x, [batch!, tokens!, 2, channels! / 2]), [0, 2, 1, 3]);
};

Deno.test("mergeQkv() keeps the meaning of self-attention, with biases and without", () => {
  for (const qkvBias of [true, false]) {
    const graph = traced(encoder({ packed: false, qkvBias }));
    const { graph: after, merged } = mergeQkv(graph);
    verifyGraph(after, "mergeQkv");
    assert.equal(merged, 2 * 2);
    assert.equal(meaningDifference(after, graph, 1) <= EXACT, true);
    const products = nodesOf(after, "linear").filter(({ name }) => name.includes("+"));
    assert.deepEqual(products.map(({ name }) => name), [
      "blocks.0.attn.q_proj+k_proj+v_proj",
      "blocks.1.attn.q_proj+k_proj+v_proj",
    ]);
    assert.deepEqual(products[0]!.type.shape, [2, 5, 24]);
    assert.equal(products[0]!.inputs.length, qkvBias ? 3 : 2);
  }
});

Deno.test("mergeQkv() merges keys and values of a cross-attention and leaves its queries", () => {
  const graph = traced(decoder(), { norm: { ...decoder().norm, apply: (x) => x } });
  const { graph: after, merged } = mergeQkv(graph);
  assert.equal(merged, 2 + 1);
  assert.ok(meaningDifference(after, graph, 2) <= EXACT);
  const names = nodesOf(after, "linear").map(({ name }) => name);
  assert.ok(names.includes("self.q+k+v"));
  assert.ok(names.includes("cross.k+v"));
  assert.ok(names.includes("cross.q"));
});

Deno.test("mergeQkv() stacks weights row by row, without a rounding", () => {
  const graph = traced(encoder({ packed: false, depth: 1 }));
  const parts = nodesOf(graph, "linear").filter(({ name }) => /[qkv]_proj$/.test(name));
  const [merged] = nodesOf(mergeQkv(graph).graph, "linear").filter(({ name }) => name.includes("+"));
  const stacked = (index: number) => parts.flatMap((part) => [...valuesOf(part.inputs[index]!)]);
  assert.deepEqual([...valuesOf(merged!.inputs[1]!)], stacked(1));
  assert.deepEqual([...valuesOf(merged!.inputs[2]!)], stacked(2));
});

Deno.test("mergeQkv() gives zeros to a part without bias beside one with", () => {
  const random = new Random(3);
  const x = input("x", [2, 3, 4]);
  const part = (name: string, bias: boolean) => heads(linear(x, 4, { random, name, bias }));
  const graph = graphOf(
    scaledDotProductAttention({ q: part("q", true), k: part("k", false), v: part("v", true) }),
  );
  const { graph: after } = mergeQkv(graph);
  assert.ok(meaningDifference(after, graph, 4) <= EXACT);
  const bias = valuesOf(nodesOf(after, "linear")[0]!.inputs[2]!);
  assert.deepEqual([...bias.subarray(4, 8)], [0, 0, 0, 0]);
});

Deno.test("mergeQkv() merges parts of other sizes, and products that others read too", () => {
  const random = new Random(5);
  const x = input("x", [2, 3, 4]);
  const [q, k, v] = [4, 4, 6].map((outputs, i) => linear(x, outputs, { random, name: "qkv"[i]! })) as [
    Node,
    Node,
    Node,
  ];
  const mixed = scaledDotProductAttention({ q: heads(q), k: heads(k), v: heads(v) });
  const graph = graphOf({ mixed, queries: q, keys: add(k, k) });
  const { graph: after, merged } = mergeQkv(graph);
  assert.equal(merged, 2);
  assert.ok(meaningDifference(after, graph, 6) <= EXACT);
});

Deno.test("mergeQkv() merges two attentions over one tensor each on its own", () => {
  const random = new Random(7);
  const x = input("x", [2, 3, 4]);
  const attend = (scope: string) => {
    const [q, k, v] = ["q", "k", "v"].map((name) =>
      heads(linear(x, 4, { random, name: `${scope}.${name}` }))
    );
    return scaledDotProductAttention({ q: q!, k: k!, v: v! });
  };
  const graph = graphOf(add(attend("a"), attend("b")));
  const { graph: after, merged } = mergeQkv(graph);
  assert.equal(merged, 4);
  assert.ok(meaningDifference(after, graph, 8) <= EXACT);
  assert.deepEqual(nodesOf(after, "linear").map(({ name }) => name).sort(), ["a.q+k+v", "b.q+k+v"]);
});

Deno.test("mergeQkv() leaves alone what is one product, of another tensor, or computed", () => {
  const random = new Random(9);
  const [x, z] = [input("x", [2, 3, 4]), input("z", [2, 3, 4])];
  const one = heads(linear(x, 4, { random, name: "all" }));
  const computed = heads(apply("linear", [z, input("w", [4, 4])], { attrs: {}, name: "k" }));
  const apart = heads(linear(input("other", [2, 3, 4]), 4, { random, name: "v" }));
  const graph = graphOf({
    shared: scaledDotProductAttention({ q: one, k: one, v: one }),
    apart: scaledDotProductAttention({ q: one, k: computed, v: apart }),
  });
  const { graph: after, merged } = mergeQkv(graph);
  assert.equal(merged, 0);
  assert.equal(after.outputs[0]!.node, graph.outputs[0]!.node);
});

Deno.test("mergeQkv() merges two of three where keys and values are one product", () => {
  const random = new Random(10);
  const x = input("x", [2, 3, 4]);
  const keys = heads(linear(x, 4, { random, name: "kv" }));
  const mask = param("mask", [3, 3], { random });
  const q = heads(linear(x, 4, { random, name: "q" }));
  const graph = graphOf(scaledDotProductAttention({ q, k: keys, v: keys, mask }));
  const { graph: after, merged } = mergeQkv(graph);
  assert.equal(merged, 1);
  assert.ok(meaningDifference(after, graph, 11) <= EXACT);
});
