import assert from "node:assert/strict";
import { block, float, linear as linearLayer, model, norm } from "../../src/dsl/mod.ts";
import { NORMS } from "../../src/norms/families.ts";
import { apply } from "../../src/ops/table.ts";
import { averageEarly } from "../../src/rewrite/channels/average_early.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { EXACT, graphOf, input, linear, meaningDifference, nodesOf, param, Random } from "../support.ts";
import { traced } from "./networks.ts";
import { add, gelu, mean, mul, softmax } from "../nodes.ts";

const meanOver = (x: ReturnType<typeof input>, axes: readonly number[], keepDims = false) =>
  apply("reduce_mean", [x], { attrs: { axes, keepDims }, name: "mean" });

const shapesOf = (graph: ReturnType<typeof graphOf>, op: string) =>
  nodesOf(graph, op).map(({ type }) => type.shape);

Deno.test("averageEarly() computes the last product of a block once a sequence, where the norm is offline", () => {
  const classifier = model({
    name: "classifier",
    inputs: { x: float(["B", 5, 8]) },
    norm: NORMS.un(),
    forward({ x }, p) {
      const y = block(x, p.at("block"), { heads: 2, mlp: { hidden: 16 } });
      return linearLayer(mean(norm(y, p.at("norm")), { axes: [1] }), p.at("head"), { outputs: 3 });
    },
  });
  for (const [family, shape] of [["un", [2, 8]], ["none", [2, 8]], ["ln", [2, 5, 8]]] as const) {
    const before = traced(classifier, { dims: { B: 2 }, norm: NORMS[family]() });
    const { graph } = optimize(before);
    const { graph: after, moved } = averageEarly(graph);
    verifyGraph(after, "averageEarly");
    assert.equal(moved, family === "ln" ? 0 : 1);
    const [fc2] = nodesOf(after, "linear").filter(({ name }) => name === "block.mlp.fc2");
    assert.deepEqual(fc2!.type.shape, shape, family);
    assert.ok(meaningDifference(after, graph, 1) <= EXACT);
  }
});

Deno.test("averageEarly() means the same for sums and products in any order, over any axes but the channels", () => {
  for (let seed = 0; seed < 100; seed++) {
    const random = new Random(seed);
    const axes = random.pick([[0], [1], [0, 1], [-2], [1, 0]]);
    let count = 0;
    const tensor = (depth: number): ReturnType<typeof input> => {
      const name = `n${count++}`;
      const kind = depth === 0 ? "leaf" : random.pick(["add", "linear", "gelu", "leaf"] as const);
      if (kind === "leaf") return random.uniform() < 0.2 ? param(name, [2, 3, 4], { random }) : x;
      if (kind === "linear") {
        return linear(tensor(depth - 1), 4, { random, name, bias: random.uniform() < 0.5 });
      }
      return kind === "gelu" ? gelu(tensor(depth - 1)) : add(tensor(depth - 1), tensor(depth - 1));
    };
    const x = input("x", [2, 3, 4]);
    const graph = graphOf(meanOver(add(tensor(3), x), axes, random.uniform() < 0.5));
    const { graph: after, moved } = averageEarly(graph);
    verifyGraph(after, "averageEarly");
    assert.ok(meaningDifference(after, graph, seed) <= EXACT, `seed ${seed}`);
    const whole = (g: typeof graph) =>
      shapesOf(g, "linear").filter((shape) => shape.join() === "2,3,4").length;
    assert.equal(whole(graph) - whole(after), moved, `seed ${seed}`);
  }
});

Deno.test("averageEarly() leaves a mean over channels, products with other readers, and what is no sum of like tensors", () => {
  const random = new Random(1);
  const x = input("x", [2, 3, 4]);
  const product = linear(x, 4, { random, name: "product" });
  const row = param("row", [4], { random });
  for (
    const outputs of [
      { y: meanOver(product, [2]) },
      { y: meanOver(product, [1]), product },
      { y: meanOver(add(product, row), [1]) },
      { y: meanOver(mul(product, x), [1]) },
      { y: meanOver(softmax(product, { axis: -1 }), [1]) },
    ]
  ) assert.equal(averageEarly(graphOf(outputs)).moved, 0);
});
