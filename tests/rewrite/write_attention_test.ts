import assert from "node:assert/strict";
import { type Graph, mapGraph, type Node } from "../../src/ir/graph.ts";
import { apply, isOp, rebuild } from "../../src/ops/table.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { canBeWrittenOut, writtenOut } from "../../src/rewrite/attention/write_attention.ts";
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

/** A graph with its attentions written out, which is checked to mean the same. */
function written(graph: Graph, seed = 1): Graph {
  const after = mapGraph(
    graph,
    (node, inputs) => isOp(node, "attention") ? writtenOut(node, inputs) : rebuild(node, inputs),
  );
  verifyGraph(after, "writtenOut");
  assert.equal(nodesOf(after, "attention").length, 0);
  const [bound, whole] = [after, graph].map((one) => bindDims(one, { B: 3 }));
  assert.ok(meaningDifference(bound!, whole!, seed) <= EXACT);
  return after;
}

Deno.test("writtenOut() means the same, causal or not, of an open batch and over another sequence", () => {
  for (const causal of [true, false]) {
    for (const dims of [{ B: 2 }, {}]) written(traced(encoder({ causal }), { dims }));
  }
  written(traced(decoder()), 3);
});

Deno.test("canBeWrittenOut() refuses a causal mask of an open length alone", () => {
  const random = new Random(1);
  const x = input("x", [2, "T", 4]);
  const heads = (name: string) => swapped(linear(x, 4, { random, name }), ["T"], 2);
  for (const causal of [true, false]) {
    const attention = apply("attention", [heads("q"), heads("k"), heads("v")], {
      attrs: { scale: 0.5, causal },
      name: "mixed",
    });
    assert.ok(isOp(attention, "attention") && canBeWrittenOut(attention) === !causal);
  }
});

Deno.test("writtenOut() takes masks of every shape", () => {
  const masks = [[5, 5], [2, 5, 5], [1, 2, 5, 5], [6, 1, 5, 5], [3, 2, 5, 5], [6, 2, 1, 5]];
  masks.forEach((shape, seed) => {
    const random = new Random(seed);
    const x = input("x", [2, 15, 4]);
    const [q, k, v] = ["q", "k", "v"].map((name) => swapped(linear(x, 4, { random, name }), [5], 2, 6));
    const mask = param("mask", shape, { random });
    written(
      graphOf(
        apply("attention", [q!, k!, v!, mask], {
          attrs: { scale: 0.7, causal: seed % 2 === 1 },
          name: "mixed",
        }),
      ),
      seed,
    );
  });
});

/** `[B, T, C]` as `[B', H, T', D]`. */
function swapped(x: Node, [tokens]: readonly [number | string], heads: number, batch = 2): Node {
  const split = apply("reshape", [x], { attrs: { shape: [batch, tokens!, heads, 2] } });
  return apply("transpose", [split], { attrs: { permutation: [0, 2, 1, 3] } });
}
