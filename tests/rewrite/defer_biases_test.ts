import assert from "node:assert/strict";
import { float, linear, model, norm } from "../../src/dsl/mod.ts";
import { layerNorm, unifiedNorm } from "../../src/norms/families.ts";
import { deferBiases } from "../../src/rewrite/channels/defer_biases.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import {
  EXACT,
  graphOf,
  input,
  linear as product,
  meaningDifference,
  nodesOf,
  Random,
  valuesOf,
} from "../support.ts";
import { encoder, traced } from "./networks.ts";
import { add, gelu, mean, reshape } from "../nodes.ts";

/**
 * The weight that a bias is multiplied with is folded without rounding, the network's own is rounded to
 * float32 once.
 */
const ROUNDED_ONCE = 1e-6;

Deno.test("deferBiases() takes the bias of every product that is added to a stream without a normalization", () => {
  const depth = 3;
  for (const [seed, packed] of [true, false].entries()) {
    const { graph } = optimize(traced(encoder({ packed, depth }), { seed }));
    const { graph: after, deferred } = deferBiases(graph);
    verifyGraph(after, "deferBiases");
    assert.equal(deferred, 2 * depth);
    assert.ok(meaningDifference(after, graph, seed) <= ROUNDED_ONCE);
  }
});

Deno.test("deferBiases() leaves a stream that a Layer Normalization reads", () => {
  const { graph } = optimize(traced(encoder(), { norm: layerNorm() }));
  assert.equal(deferBiases(graph).deferred, 0);
});

Deno.test("deferBiases() adds up biases along the stream, and through joined rows", () => {
  const random = new Random(1);
  const x = input("x", [2, 4, 3]);
  const first = add(x, product(gelu(x), 3, { random, name: "a" }));
  const second = add(first, product(gelu(x), 3, { random, name: "b" }));
  const graph = graphOf(product(reshape(second, [2, 2, 6]), 5, { random, name: "out", bias: false }));
  const { graph: after, deferred } = deferBiases(graph);
  assert.equal(deferred, 2);
  const inputsOf = (name: string) => nodesOf(after, "linear").find((node) => node.name === name)!.inputs;
  assert.deepEqual(["a", "b", "out"].map((name) => inputsOf(name).length), [2, 2, 3]);
  assert.ok(valuesOf(inputsOf("out")[2]!).some((b) => b !== 0));
  assert.ok(meaningDifference(after, graph, 1) <= EXACT);
});

Deno.test("deferBiases() leaves a stream that is an output, or reaches an activation", () => {
  const random = new Random(2);
  const x = input("x", [2, 3]);
  const stream = () => add(x, product(x, 3, { random, name: "a" }));
  assert.equal(deferBiases(graphOf(stream())).deferred, 0);
  assert.equal(deferBiases(graphOf(product(gelu(stream()), 2, { random, name: "out" }))).deferred, 0);
});

Deno.test("deferBiases() passes a mean over tokens", () => {
  const pooled = model({
    name: "pooled",
    inputs: { x: float(["B", 4, 8]) },
    norm: unifiedNorm(),
    forward: ({ x }, p) => {
      const y = add(
        x,
        linear(gelu(linear(norm(x, p.at("n")), p.at("a"), { outputs: 8 })), p.at("b"), { outputs: 8 }),
      );
      return linear(mean(y, { axes: [1] }), p.at("head"), { outputs: 3 });
    },
  });
  const { graph } = optimize(traced(pooled));
  const { graph: after, deferred } = deferBiases(graph);
  assert.equal(deferred, 1);
  assert.ok(meaningDifference(after, graph, 3) <= ROUNDED_ONCE);
});

Deno.test("deferBiases() spares a very wide product without a bias one: what it reads is completed instead", () => {
  const random = new Random(4);
  const x = input("x", [2, 3]);
  const stream = add(x, product(x, 3, { random, name: "a" }));
  for (const [outputs, inputs] of [[24, 3], [25, 2]] as const) {
    const graph = graphOf(product(stream, outputs, { random, name: "head", bias: false }));
    const { graph: after, deferred } = deferBiases(graph);
    verifyGraph(after, "deferBiases");
    assert.equal(deferred, 1);
    assert.equal(nodesOf(after, "linear").find(({ name }) => name === "head")!.inputs.length, inputs);
    assert.equal(nodesOf(after, "add").length, inputs === 2 ? 2 : 1);
    assert.ok(meaningDifference(after, graph, 1) <= EXACT);
  }
});
