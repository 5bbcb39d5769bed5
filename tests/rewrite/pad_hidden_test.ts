import assert from "node:assert/strict";
import { padHidden } from "../../src/rewrite/channels/pad_hidden.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { EXACT, graphOf, input, linear, meaningDifference, nodesOf, Random } from "../support.ts";
import { add, gelu, relu, softmax, type Tensor } from "../nodes.ts";

function mlp(
  hidden: number,
  { activation = gelu, bias = true }: { activation?: (x: Tensor) => Tensor; bias?: boolean } = {},
) {
  const random = new Random(hidden);
  const x = input("x", [2, 3, 4]);
  return linear(activation(linear(x, hidden, { random, name: "fc1", bias })), 4, { random, name: "fc2" });
}

const hiddenOf = (graph: ReturnType<typeof graphOf>) => nodesOf(graph, "linear")[0]!.type.shape.at(-1);

Deno.test("padHidden() widens a hidden tensor of a multiple of 1024 channels and keeps the meaning", () => {
  for (const options of [{}, { activation: relu }, { bias: false }]) {
    const graph = graphOf(mlp(2048, options));
    const { graph: after, padded } = padHidden(graph);
    verifyGraph(after, "padHidden");
    assert.deepEqual([padded, hiddenOf(after)], [1, 2064]);
    assert.ok(meaningDifference(after, graph, 1) <= EXACT);
  }
});

Deno.test("padHidden() leaves other widths, activations that make something of zero, and tensors with other readers", () => {
  assert.equal(padHidden(graphOf(mlp(1536))).padded, 0);
  assert.equal(padHidden(graphOf(mlp(1024, { activation: (x) => softmax(x, { axis: -1 }) }))).padded, 0);
  const random = new Random(1);
  const hidden = relu(linear(input("x", [2, 4]), 1024, { random, name: "fc1" }));
  const graph = graphOf({ y: linear(hidden, 4, { random, name: "fc2" }), hidden: add(hidden, hidden) });
  assert.equal(padHidden(graph).padded, 0);
});
