/** What is computed twice is computed once, and what only looks alike is not. */
import assert from "node:assert/strict";
import { heldData } from "../../src/ir/data.ts";
import { topological } from "../../src/ir/graph.ts";
import { apply, constantNode } from "../../src/ops/table.ts";
import { applyRules } from "../../src/rewrite/driver.ts";
import { PRODUCT_WITH_BIAS } from "../../src/rewrite/recognise/channel_vectors.ts";
import { shareNodes } from "../../src/rewrite/tidy/share_nodes.ts";
import { add, mean, mul, relu, softmax } from "../nodes.ts";
import { EXACT, graphOf, input, linear, meaningDifference, nodesOf, param, Random } from "../support.ts";

const x = input("x", [2, 3, 4]);
const number = (value: number) =>
  constantNode(heldData([], Float32Array.of(value), "number"), { dtype: "fp32", name: "number" });

Deno.test("shareNodes() makes one node of equal operators on equal inputs, through any depth", () => {
  const twice = () => mul(relu(add(x, number(2))), mean(x, { axes: [1], keepDims: true }));
  const graph = graphOf(add(twice(), twice()));
  const { graph: after, shared } = shareNodes(graph);
  assert.equal(shared, 5);
  assert.equal(nodesOf(after, "relu").length, 1);
  assert.ok(meaningDifference(after, graph, 1) <= EXACT);
});

Deno.test("shareNodes() keeps apart other attributes, numbers, signs of zero and normalizations", () => {
  const statistics = () => apply("rms_norm", [x], { attrs: { epsilon: 1e-5, norm: Symbol("norm") } });
  const graph = graphOf({
    a: softmax(x, { axis: 1 }),
    b: softmax(x, { axis: 2 }),
    c: add(x, number(1)),
    d: add(x, number(2)),
    e: add(x, number(0)),
    f: add(x, number(-0)),
    g: statistics(),
    h: statistics(),
    i: add(x, param("i", [4], { random: new Random(1) })),
    j: add(x, param("j", [4], { random: new Random(1) })),
  });
  assert.equal(shareNodes(graph).shared, 0);
  assert.equal(topological(shareNodes(graph).graph).length, topological(graph).length);
});

Deno.test("applyRules() tells a law what others read too", () => {
  const random = new Random(2);
  const product = linear(x, 4, { random, bias: false });
  const bias = param("bias", [4], { random });
  const alone = applyRules(graphOf(add(product, bias)), [PRODUCT_WITH_BIAS]);
  assert.deepEqual(alone.firings, { "product-with-bias": 1 });
  const shared = applyRules(graphOf({ y: add(product, bias), product }), [PRODUCT_WITH_BIAS]);
  assert.deepEqual(shared.firings, {});
});
