import assert from "node:assert/strict";
import { float, model, norm } from "../../src/dsl/mod.ts";
import { batchNorm, layerNorm, movingAverageBatchNorm, noNorm, rmsNorm } from "../../src/norms/families.ts";
import { optimize, remainingNorms } from "../../src/rewrite/pipeline.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import { bindDims, meaningDifference } from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";
import { matmul, mul, slice, transpose } from "../nodes.ts";

// Folded weights are rounded once, to float32: 6e-8 of each, which two blocks spread over the outputs.
const ROUNDED_ONCE = 2e-6;

const models = [
  ["encoder", encoder()],
  ["encoder with three products", encoder({ packed: false })],
  ["encoder without qkv bias", encoder({ qkvBias: false })],
  ["encoder without qkv bias and with three products", encoder({ qkvBias: false, packed: false })],
  ["encoder without any attention bias", encoder({ qkvBias: false, outBias: false })],
  ["causal encoder", encoder({ causal: true })],
  ["decoder", decoder()],
  ["decoder without qkv bias", decoder({ qkvBias: false })],
] as const;

for (const [name, model] of models) {
  Deno.test(`optimize() folds every normalization of a ${name} and keeps its meaning`, () => {
    for (let seed = 0; seed < 6; seed++) {
      const before = traced(model, { seed });
      const { graph, norms } = optimize(before);
      assert.ok(norms.every(({ folded }) => folded));
      assert.equal(remainingNorms(graph), 0);
      const error = meaningDifference(graph, before, seed);
      assert.ok(error <= ROUNDED_ONCE, `seed ${seed}: ${error}`);
    }
  });
}

Deno.test("optimize() keeps the meaning under every family of normalization", () => {
  for (const norm of [batchNorm(), layerNorm(), rmsNorm(), noNorm()]) {
    const before = traced(encoder(), { norm });
    const { graph, norms } = optimize(before);
    assert.equal(norms.length, norm.family === "none" ? 0 : 5);
    assert.equal(remainingNorms(graph), norm.offline ? 0 : 5);
    assert.ok(norms.every(({ folded, family }) => folded === norm.offline && family === norm.family));
    assert.ok(meaningDifference(graph, before, 1) <= ROUNDED_ONCE, norm.family);
  }
});

Deno.test("optimize() folds into weights that are computed from others, from both sides", () => {
  const described = model({
    name: "described",
    inputs: { x: float([2, 8]) },
    norm: movingAverageBatchNorm(),
    forward({ x }, p) {
      const packed = p.param("packed", [16, 8], { init: "linear" });
      const weight = mul(transpose(slice(packed, { axis: 0, start: 8 }), [1, 0]), p.param("gain", [8]));
      return norm(matmul(norm(x, p.at("before")), weight), p.at("after"));
    },
  });
  const before = traced(described);
  const { graph, norms } = optimize(before);
  assert.deepEqual(norms.map(({ norm, folded }) => [norm, folded]), [["before", true], ["after", true]]);
  assert.equal(remainingNorms(graph), 0);
  assert.ok(meaningDifference(graph, before, 1) <= ROUNDED_ONCE);
});

Deno.test("optimize() of an open batch, then bound, means what the bound one means", () => {
  const open = traced(encoder({ packed: false }), { dims: {} });
  const { graph } = optimize(open);
  verifyGraph(graph, "optimize");
  const dims = { B: 3 };
  assert.ok(meaningDifference(bindDims(graph, dims), bindDims(open, dims), 1) <= ROUNDED_ONCE);
});

Deno.test("optimize() traces what each pass did", () => {
  const { trace } = optimize(traced(encoder({ packed: false })));
  const figures = (pass: string) => trace.find((entry) => entry.pass === pass)?.figures;
  assert.deepEqual(figures("foldNorm"), { found: 5, folded: 5, partly: 0 });
  assert.deepEqual(figures("mergeQkv"), { merged: 3 });
  for (const [i, { nodesBefore }] of trace.slice(1).entries()) {
    assert.equal(nodesBefore, trace[i]!.nodesAfter);
  }
});

Deno.test("optimize() comes to rest: a second time changes nothing", () => {
  const once = optimize(traced(encoder({ packed: false }))).graph;
  const twice = optimize(once);
  assert.deepEqual(twice.norms, []);
  assert.equal(meaningDifference(twice.graph, once, 1), 0);
  assert.equal(twice.trace.at(-1)!.nodesAfter, twice.trace[0]!.nodesBefore);
});
