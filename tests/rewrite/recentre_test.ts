/**
 * Layer Normalization as RMSNorm and CRMSNorm: the same meaning, to what rounding centred weights to fp32
 * once costs (1e-5 of the largest output, as for whole networks elsewhere), and only where nobody else reads
 * the stream.
 */
import assert from "node:assert/strict";
import { block, embedding, float, ids, linear, model, norm } from "../../src/dsl/mod.ts";
import { NORMS } from "../../src/norms/families.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { difference, meaningDifference, nodesOf } from "../support.ts";
import { encoder, traced } from "./networks.ts";
import { add, mean } from "../nodes.ts";

const NETWORK = 1e-5;
const layerNorm = { norm: NORMS.ln() };

Deno.test("centreStream() makes every LayerNorm of an encoder an RMSNorm", () => {
  for (const variant of [{}, { packed: false }, { qkvBias: false }, { outBias: false }]) {
    const before = traced(encoder(variant), { ...layerNorm, dims: { B: 2 } });
    const { graph, norms } = optimize(before, { layerNorm: "rms" });
    assert.equal(nodesOf(graph, "layer_norm").length, 0);
    assert.equal(nodesOf(graph, "rms_norm").length, 5);
    assert.equal(norms.length, 5);
    const error = meaningDifference(graph, before, 1);
    assert.ok(error <= NETWORK, `${JSON.stringify(variant)}: ${error}`);
  }
});

Deno.test("compressStream() leaves out one channel of the stream", () => {
  for (const variant of [{}, { packed: false }, { qkvBias: false }]) {
    const before = traced(encoder(variant), { ...layerNorm, dims: { B: 2 } });
    const { graph } = optimize(before, { layerNorm: "crms" });
    const left = nodesOf(graph, "rms_norm");
    assert.equal(left.length, 5);
    assert.ok(left.every(({ attrs, type }) => attrs.compressed === true && type.shape.at(-1) === 7));
    const error = meaningDifference(graph, before, 1);
    assert.ok(error <= NETWORK, `${JSON.stringify(variant)}: ${error}`);
  }
});

Deno.test("compressStream() leaves RMSNorm of a stream that was never centred as it is", () => {
  const before = traced(encoder(), { norm: NORMS.rms(), dims: { B: 2 } });
  const { graph } = optimize(before, { layerNorm: "crms" });
  assert.ok(nodesOf(graph, "rms_norm").every(({ attrs }) => !attrs.compressed));
});

Deno.test("centreStream() centres embedding tables", () => {
  const described = model({
    name: "words",
    inputs: { ids: ids([2, 3]) },
    norm: NORMS.ln(),
    forward({ ids }, p) {
      let x = embedding(ids, p.at("words"), { entries: 5, channels: 8 });
      x = add(x, p.param("position", [1, 3, 8]));
      x = block(x, p.at("block"), { heads: 2, mlp: { hidden: 16 } });
      return linear(mean(norm(x, p.at("norm")), { axes: [1] }), p.at("head"), { outputs: 3 });
    },
  });
  const before = traced(described, layerNorm);
  const { graph } = optimize(before, { layerNorm: "rms" });
  assert.equal(nodesOf(graph, "layer_norm").length, 0);
  const feeds = { ids: { shape: [2, 3], data: Float64Array.of(0, 1, 2, 4, 3, 0) } };
  assert.ok(differenceOn(graph, before, feeds) <= NETWORK);
});

Deno.test("centreStream() does nothing where others read the stream, or LayerNorms write it", () => {
  const read = model({
    name: "read",
    inputs: { x: float([2, 3, 8]) },
    norm: NORMS.ln(),
    forward({ x }, p) {
      const y = block(linear(x, p.at("embed"), { outputs: 8 }), p.at("block"), {
        heads: 2,
        mlp: { hidden: 8 },
      });
      return { features: y, logits: linear(norm(y, p.at("norm")), p.at("head"), { outputs: 3 }) };
    },
  });
  const post = model({
    name: "post",
    inputs: { x: float([2, 3, 8]) },
    norm: NORMS.ln(),
    forward: ({ x }, p) =>
      linear(block(x, p, { heads: 2, mlp: { hidden: 8 }, placement: "post" }), p.at("head"), { outputs: 3 }),
  });
  for (const described of [read, post]) {
    const before = traced(described, layerNorm);
    const { graph } = optimize(before, { layerNorm: "crms" });
    assert.equal(nodesOf(graph, "layer_norm").length, nodesOf(before, "layer_norm").length);
    assert.ok(meaningDifference(graph, before, 1) <= NETWORK);
  }
});

function differenceOn(
  after: Parameters<typeof evaluateGraph>[0],
  before: Parameters<typeof evaluateGraph>[0],
  feeds: Parameters<typeof evaluateGraph>[1],
): number {
  return difference(evaluateGraph(after, feeds), evaluateGraph(before, feeds));
}
