import assert from "node:assert/strict";
import { mergeLinears } from "../../src/rewrite/tidy/merge_linears.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { EXACT, graphOf, input, linear, meaningDifference, nodesOf, Random } from "../support.ts";
import { relu } from "../nodes.ts";

Deno.test("mergeLinears() keeps the meaning of chains, with biases and without", () => {
  for (let seed = 0; seed < 20; seed++) {
    const random = new Random(seed);
    let x = input("x", [2, 3, random.integer(1, 6)]);
    const count = random.integer(2, 4);
    for (let i = 0; i < count; i++) {
      x = linear(x, random.integer(1, 6), { random, name: `fc${i}`, bias: random.uniform() < 0.5 });
    }
    const graph = graphOf(x);
    const { graph: after } = mergeLinears(graph);
    verifyGraph(after, "mergeLinears");
    assert.ok(meaningDifference(after, graph, seed) <= EXACT, `seed ${seed}`);
    const work = (g: typeof graph) =>
      nodesOf(g, "linear").reduce((sum, { inputs }) => {
        const [outputs, channels] = inputs[1]!.type.shape as [number, number];
        return sum + outputs * channels;
      }, 0);
    assert.ok(work(after) <= work(graph), `seed ${seed}`);
  }
});

Deno.test("mergeLinears() merges where that is less work, and nowhere else", () => {
  const merged = (sizes: readonly number[], between = (x: ReturnType<typeof input>) => x) => {
    const random = new Random(1);
    const [channels, middle, outputs] = sizes as [number, number, number];
    const first = linear(input("x", [2, channels]), middle, { random, name: "first" });
    return mergeLinears(graphOf(linear(between(first), outputs, { random, name: "second" }))).merged;
  };
  assert.equal(merged([8, 8, 8]), 1);
  assert.equal(merged([8, 4, 8]), 0);
  assert.equal(merged([8, 2, 8]), 0);
  assert.equal(merged([8, 64, 8]), 1);
  assert.equal(merged([8, 64, 8], relu), 0);
});

Deno.test("mergeLinears() leaves a product that something else reads", () => {
  const random = new Random(2);
  const first = linear(input("x", [2, 4]), 4, { random, name: "first" });
  const graph = graphOf({ first, second: linear(first, 4, { random, name: "second" }) });
  assert.equal(mergeLinears(graph).merged, 0);
});
