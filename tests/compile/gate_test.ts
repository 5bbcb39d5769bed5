/** Which products go back to float where all together lose too much: a network whose errors are known. */
import assert from "node:assert/strict";
import { type Trial, withinLimits } from "../../src/compile/quantize/gate.ts";
import type { CalibratedProduct } from "../../src/compile/quantize/product.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { constant } from "../nodes.ts";
import { graphOf, input, rejects } from "../support.ts";

/** Output errors of products alone, which add up, and the kernels that their quantizing costs. */
type Errors = Readonly<Record<string, readonly [error: number, kernels: number]>>;

function trialOf(errors: Errors, maxOutputError: number) {
  const products = Object.entries(errors).map(([name, [, kernels]]): CalibratedProduct => ({
    node: constant([0], { shape: [1], dtype: "fp32", name }),
    how: { input: null, weight: { to: "int8", each: "row", steps: "fp32" } },
    kernels,
  }));
  const reference = graphOf(input("x", [1]));
  const chosen = new Map<Graph, readonly CalibratedProduct[]>([[reference, []]]);
  let runs = 0;
  const trial: Trial = {
    what: "network in int8",
    float: "fp16",
    labelled: null,
    maxAccuracyDrop: 0,
    maxOutputError,
    reference,
    make: (products) => {
      const graph = { ...reference };
      chosen.set(graph, products);
      return { graph, trace: [], norms: [] };
    },
    run: (graph) => {
      runs++;
      const moved = chosen.get(graph)!.reduce((sum, { node }) => sum + errors[node.name]![0], 0);
      return Promise.resolve({ y: { shape: [1], data: Float64Array.of(1 + moved) } });
    },
  };
  return { products, trial, runs: () => runs };
}

const ERRORS: Errors = {
  free: [0.05, 0],
  dear: [0.04, 1],
  worst: [0.3, 0],
  little: [0.002, 1],
  least: [0.001, 1],
  none: [0, 3],
  also: [0, 3],
  more: [0, 3],
};

Deno.test("withinLimits() gives back by output error per saved kernel, and no more than it must", async () => {
  const keptOf = async (maxOutputError: number) => {
    const { products, trial } = trialOf(ERRORS, maxOutputError);
    const { kept, gate } = await withinLimits(products, trial);
    assert.ok(gate.passed && gate.outputError <= maxOutputError);
    return kept.map(({ name, error }) => [name, Number(error.toFixed(6))]);
  };
  assert.deepEqual(await keptOf(0.4), []);
  assert.deepEqual(await keptOf(0.1), [["worst", 0.3]]);
  // It moves outputs less than `free` does, and costs a kernel besides.
  assert.deepEqual(await keptOf(0.06), [["worst", 0.3], ["dear", 0.04]]);
  assert.deepEqual(await keptOf(0.01), [["worst", 0.3], ["dear", 0.04], ["free", 0.05]]);
});

Deno.test("withinLimits() asks for no product alone where all pass, and refuses with half of them in float", async () => {
  const loose = trialOf(ERRORS, 1);
  await withinLimits(loose.products, loose.trial);
  assert.equal(loose.runs(), 2);
  const strict = trialOf(ERRORS, 5e-4);
  await rejects(
    withinLimits(strict.products, strict.trial),
    "network in int8: the outputs are off by 0.1 %, with 4 products in float",
  );
  // Half of six is no power of two.
  const { also: _, more: __, ...six } = ERRORS;
  const half = trialOf(six, 0.01);
  assert.equal((await withinLimits(half.products, half.trial)).kept.length, 3);
});
