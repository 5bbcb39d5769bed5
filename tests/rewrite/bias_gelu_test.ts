import assert from "node:assert/strict";
import { apply } from "../../src/ops/table.ts";
import { biasGelu } from "../../src/rewrite/backends/bias_gelu.ts";
import { EXACT, graphOf, input, linear, meaningDifference, nodesOf, Random } from "../support.ts";
import { add, gelu } from "../nodes.ts";

Deno.test("biasGelu() takes the bias of a product that only a GELU reads, exact or by tanh", () => {
  const x = input("x", [2, 3, 4]);
  for (const approximate of ["none", "tanh"] as const) {
    const random = new Random(1);
    const product = linear(x, 8, { random, name: "fc1" });
    const graph = graphOf(apply("gelu", [product], { attrs: { approximate }, name: "gelu" }));
    const { graph: after, moved } = biasGelu(graph);
    assert.equal(moved, 1);
    assert.deepEqual(nodesOf(after, "bias_gelu").map(({ attrs }) => attrs), [{ approximate }]);
    assert.equal(nodesOf(after, "linear")[0]!.inputs.length, 2);
    assert.ok(meaningDifference(after, graph, 1) <= EXACT);
  }
});

Deno.test("biasGelu() leaves a product that has no bias, or another reader", () => {
  const random = new Random(2);
  const x = input("x", [2, 4]);
  assert.equal(biasGelu(graphOf(gelu(linear(x, 4, { random, bias: false })))).moved, 0);
  const shared = linear(x, 4, { random, name: "shared" });
  assert.equal(biasGelu(graphOf(add(gelu(shared), shared))).moved, 0);
});
