/**
 * Each rule of SIMPLIFY is a law: applied alone to random left sides, it fires and the meaning stays,
 * exactly.
 */
import assert from "node:assert/strict";
import { topological } from "../../src/ir/graph.ts";
import { applyRules, type Rule } from "../../src/rewrite/driver.ts";
import { SIMPLIFY } from "../../src/rewrite/tidy/simplify.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { graphOf, input, meaningDifference, Random } from "../support.ts";
import { cast, concat, relu, reshape, slice, type Tensor, transpose } from "../nodes.ts";

const shapes = [[2, 3, 4], [6, 4], [24], [4, 3, 2], [2, 3, 2, 2], [1, 24]] as const;

function permutation(rank: number, random: Random): number[] {
  return Array.from({ length: rank }, (_, i) => ({ i, key: random.uniform() }))
    .sort((a, b) => a.key - b.key).map(({ i }) => i);
}

/** A left side of each rule over a random tensor, by the rule's name. */
const LEFT_SIDES: Readonly<Record<string, (x: Tensor, random: Random) => Tensor>> = {
  "same-reshape": (x) => reshape(x, x.type.shape),
  "reshape-reshape": (x, random) => reshape(reshape(x, random.pick(shapes)), random.pick(shapes)),
  "identity-transpose": (x) => transpose(x, x.type.shape.map((_, i) => i)),
  "transpose-transpose": (x, random) => {
    const rank = x.type.shape.length;
    return transpose(transpose(x, permutation(rank, random)), permutation(rank, random));
  },
  "same-cast": (x) => cast(x, "fp32"),
  "widened-cast": (x) => cast(cast(cast(x, "fp16"), "fp32"), "fp16"),
  "whole-slice": (x, random) => slice(x, { axis: random.integer(-1, x.type.shape.length - 1) }),
  "single-concat": (x) => concat([x], { axis: -1 }),
};

Deno.test("every rule has a left side", () => {
  assert.deepEqual(SIMPLIFY.map(({ name }) => name).sort(), Object.keys(LEFT_SIDES).sort());
});

for (const rule of SIMPLIFY) {
  Deno.test(`${rule.name}: ${rule.law}`, () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new Random(seed);
      const x = relu(input("x", random.pick(shapes)));
      const graph = graphOf(relu(LEFT_SIDES[rule.name]!(x, random)));
      const { graph: after, firings } = applyRules(graph, [rule]);
      assert.ok((firings[rule.name] ?? 0) >= 1, `seed ${seed} did not fire`);
      verifyGraph(after, rule.name);
      assert.equal(meaningDifference(after, graph, seed), 0);
      assert.ok(topological(after).length < topological(graph).length);
    }
  });
}

Deno.test("SIMPLIFY leaves what moves something", () => {
  const x = input("x", [2, 3, 4]);
  const graph = graphOf({
    a: reshape(x, [6, 4]),
    b: transpose(x, [0, 2, 1]),
    c: slice(x, { axis: 1, end: 2 }),
    d: concat([x, x], { axis: 0 }),
    e: cast(x, "fp16"),
  });
  assert.deepEqual(applyRules(graph, SIMPLIFY).firings, {});
});

Deno.test("SIMPLIFY keeps names of open sizes apart", () => {
  const x = input("x", ["B", "T", 4]);
  assert.deepEqual(applyRules(graphOf(reshape(x, ["T", "B", 4])), SIMPLIFY).firings, {});
  assert.deepEqual(applyRules(graphOf(reshape(x, ["B", "T", 4])), SIMPLIFY).firings, { "same-reshape": 1 });
});

Deno.test("SIMPLIFY undoes chains of any length to the value itself", () => {
  for (let seed = 0; seed < 20; seed++) {
    const random = new Random(seed);
    const x = input("x", [2, 3, 4]);
    let y: Tensor = relu(x);
    for (let i = 0; i < 12; i++) {
      const names = Object.keys(LEFT_SIDES);
      y = LEFT_SIDES[random.pick(names)]!(y, random);
    }
    const graph = graphOf(y);
    const after = applyRules(graph, SIMPLIFY).graph;
    assert.equal(meaningDifference(after, graph, seed), 0);
    const ops = topological(after).map(({ op }) => op);
    for (const [i, op] of ops.slice(1).entries()) {
      // A rounding, to fp16 and back, is two casts.
      assert.ok(op !== ops[i] || op === "relu" || op === "cast", `seed ${seed}: ${ops.join(" ")}`);
    }
  }
});

Deno.test("applyRules() refuses to loop, and says which rules did", () => {
  const swap: Rule = {
    name: "swap",
    law: "transpose(x; p) = transpose(x; p) of another node",
    rewrite: (node) => node.op === "transpose" ? { ...node } : null,
  };
  const graph = graphOf(transpose(input("x", [2, 3]), [1, 0]));
  assert.throws(
    () => applyRules(graph, [swap]),
    /sample: the rules did not come to rest after 3 sweeps: .*"swap":3/,
  );
});

Deno.test("applyRules() counts firings and tries rules in their order", () => {
  const [same, ...others] = SIMPLIFY;
  const x = input("x", [2, 3]);
  const graph = graphOf(reshape(reshape(x, [2, 3]), [2, 3]));
  assert.deepEqual(applyRules(graph, [same!, ...others]).firings, { "same-reshape": 2 });
  assert.deepEqual(applyRules(graph, []).graph.outputs[0]!.node, graph.outputs[0]!.node);
});
