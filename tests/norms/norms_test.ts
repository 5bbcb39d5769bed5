import assert from "node:assert/strict";
import { normScope, rootScope } from "../../src/dsl/scope.ts";
import type { Node } from "../../src/ir/graph.ts";
import { heldData } from "../../src/ir/data.ts";
import {
  batchNorm,
  batchRenorm,
  compressedRmsNorm,
  layerNorm,
  noNorm,
  type Norm,
  NORM_FAMILIES,
  type NormFamily,
  NORMS,
  powerNormGroupScaling,
  rmsNorm,
  unifiedNorm,
} from "../../src/norms/families.ts";
import { tensorsOf } from "../../src/norms/keys.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { graphOf, input, Random, refuses, theNode, valuesOf, weightsOf } from "../support.ts";

const parameters = {
  weight: [2, -1, 0.5, 0],
  bias: [0.25, 0, -3, 1],
  running_mean: [1, -2, 0, 0.5],
  running_var: [4, 0.25, 0, 9],
  running_std: [2, 0.5, 1e-3, 3],
  running_phi: [4, 0.25, 0, 9],
};

const vectors = (names: readonly (keyof typeof parameters)[]) =>
  weightsOf(
    Object.fromEntries(
      names.map((name) => [`norm.${name}`, heldData([4], Float64Array.from(parameters[name]), name)]),
    ),
  );

function normalized(x: Node, norm: Norm, weights = randomWeights({ seed: 1 })): Node {
  return norm.apply(
    x,
    normScope(rootScope({ weights, precision: "fp32", norm, params: new Map() }).at("norm")),
  );
}

/** A normalization of `x [2, 3, 4]` in plain formulas. */
function applied(norm: Norm, names: readonly (keyof typeof parameters)[]) {
  const x = input("x", [2, 3, 4]);
  const graph = graphOf(normalized(x, norm, vectors(names)));
  const feed = new Random(1).tensor([2, 3, 4]);
  return { graph, feed, y: evaluateGraph(graph, { x: feed }).y! };
}

function assertClose(actual: Float64Array, expected: readonly number[]): void {
  actual.forEach((value, i) =>
    assert.ok(Math.abs(value - expected[i]!) <= 1e-12 * (1 + Math.abs(value)), `${i}`)
  );
}

Deno.test("unifiedNorm() is gamma x / sqrt(running_var + epsilon) + beta, without a mean", () => {
  for (const epsilon of [1e-5, 0.1]) {
    const { graph, feed, y } = applied(unifiedNorm({ epsilon }), ["weight", "bias", "running_var"]);
    const { weight, bias, running_var } = parameters;
    assertClose(
      y.data,
      [...feed.data].map((v, i) =>
        weight[i % 4]! * v / Math.sqrt(running_var[i % 4]! + epsilon) + bias[i % 4]!
      ),
    );
    assert.equal(theNode(graph, "channel_affine").attrs.family, "un");
  }
});

Deno.test("batchNorm() is gamma (x - running_mean) / sqrt(running_var + epsilon) + beta", () => {
  const { feed, y } = applied(batchNorm(), ["weight", "bias", "running_mean", "running_var"]);
  const { weight, bias, running_mean, running_var } = parameters;
  assertClose(
    y.data,
    [...feed.data].map((v, i) => {
      const c = i % 4;
      return weight[c]! * (v - running_mean[c]!) / Math.sqrt(running_var[c]! + 1e-5) + bias[c]!;
    }),
  );
});

Deno.test("batchNorm({ scaled: true }) is that of tokens divided by their quadratic means, and stays", () => {
  const names = ["weight", "bias", "running_mean", "running_var"] as const;
  const norm = batchNorm({ scaled: true, epsilon: 0.5 });
  const { graph, feed, y } = applied(norm, names);
  const { weight, bias, running_mean, running_var } = parameters;
  assertClose(
    y.data,
    [...feed.data].map((v, i) => {
      const token = feed.data.subarray(i - i % 4, i - i % 4 + 4);
      const mean = Math.sqrt(token.reduce((sum, value) => sum + value ** 2, 0) / 4 + 1e-5);
      const c = i % 4;
      return weight[c]! * (v / mean - running_mean[c]!) / Math.sqrt(running_var[c]! + 0.5) + bias[c]!;
    }),
  );
  assert.equal(norm.offline, false);
  assert.equal(theNode(graph, "channel_affine").attrs.family, "bn");
});

Deno.test("batchRenorm() reads a running variance, or a deviation to which no epsilon is added", () => {
  const names = ["weight", "bias", "running_mean"] as const;
  const { weight, bias, running_mean, running_std } = parameters;
  const { feed, y } = applied(batchRenorm({ running: "deviation", epsilon: 1 }), [...names, "running_std"]);
  assertClose(
    y.data,
    [...feed.data].map((v, i) => {
      const c = i % 4;
      return weight[c]! * (v - running_mean[c]!) / running_std[c]! + bias[c]!;
    }),
  );
  const variance = [...names, "running_var"] as const;
  assert.deepEqual(applied(batchRenorm(), variance).y.data, applied(batchNorm(), variance).y.data);
});

Deno.test("powerNormGroupScaling() has one epsilon for the groups and another for the running moment", () => {
  const norm = powerNormGroupScaling({ groups: 2, epsilon: 0.5 });
  const { graph } = applied(norm, ["weight", "bias", "running_phi"]);
  const { norm: _, ...attrs } = theNode(graph, "rms_norm").attrs;
  assert.deepEqual(attrs, { epsilon: 1e-5, groups: 2 });
  assert.equal(valuesOf(theNode(graph, "channel_affine").inputs[1]!)[0], 2 / Math.sqrt(4 + 0.5));
});

Deno.test("compressedRmsNorm() needs no parameters, as its reference code has none, and takes a gain", () => {
  const { graph } = applied(compressedRmsNorm(), []);
  const { norm: _, ...attrs } = theNode(graph, "rms_norm").attrs;
  assert.deepEqual(attrs, { epsilon: 1e-5, compressed: true });
  const { graph: withGain } = applied(compressedRmsNorm({ gain: true }), ["weight"]);
  assert.deepEqual([...valuesOf(theNode(withGain, "channel_affine").inputs[1]!)], parameters.weight);
});

Deno.test("unifiedNorm() and batchNorm() keep scale and shift in float64", () => {
  const { graph } = applied(unifiedNorm(), ["weight", "bias", "running_var"]);
  const [, scale] = theNode(graph, "channel_affine").inputs;
  assert.equal(valuesOf(scale!)[0], 2 / Math.sqrt(4 + 1e-5));
  assert.equal(scale!.name, "norm.scale");
});

Deno.test("layerNorm() and rmsNorm() stay operators, with their epsilon", () => {
  const { graph } = applied(layerNorm({ epsilon: 1e-3 }), ["weight", "bias"]);
  assert.equal(theNode(graph, "layer_norm").attrs.epsilon, 1e-3);
  assert.equal(theNode(applied(rmsNorm(), ["weight"]).graph, "rms_norm").attrs.epsilon, 1e-6);
});

Deno.test("noNorm() is the tensor itself", () => {
  const x = input("x", [2, 4]);
  assert.equal(normalized(x, noNorm()), x);
});

Deno.test("NORMS has every family, offline where inference needs no statistics of the input", () => {
  const online = NORM_FAMILIES.filter((family) => !NORMS[family]().offline);
  assert.deepEqual(online, ["pngs", "ln", "rms", "crms", "gn", "dyt"]);
  for (const family of NORM_FAMILIES) assert.equal(NORMS[family]().family, family);
});

Deno.test("the README's table of normalizations has every family, what it reads and what of it folds", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const [, table = ""] = readme.match(/^\| `--norm` .*\n\| -.*\n((?:\|.*\n)+)/m) ?? [];
  const rows = table.trim().split("\n").map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  const quoted = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!);
  assert.deepEqual(rows.flatMap(([words]) => quoted(words!)).sort(), [...NORM_FAMILIES].sort());
  for (const [words, names, reads, folds] of rows) {
    for (const family of quoted(words!).map((word) => NORMS[word as NormFamily])) {
      const { offline, label } = family();
      assert.ok(names!.includes(label), `${family.word}: ${names}`);
      const found = tensorsOf(family()).map((tensor) => tensor.replace(/^(norm2\.bn)\..*/, "$1.*"));
      assert.deepEqual([...new Set(found)].sort(), quoted(reads!).sort(), family.word);
      const usual = offline ? "completely" : "gain, shift; statistics stay";
      assert.equal(folds, family.folds ?? usual, family.word);
    }
  }
});

Deno.test("unifiedNorm() knows the buffers that training leaves", () => {
  for (const key of ["ema_gz", "iters", "buffer_x2", "buffer_gz"]) {
    assert.ok(unifiedNorm().ignoredKeys.includes(key));
  }
  assert.ok(batchNorm().ignoredKeys.includes("num_batches_tracked"));
});

Deno.test("normalizations name a parameter that is missing", () => {
  const x = input("x", [2, 4]);
  refuses(() => normalized(x, unifiedNorm(), vectors(["weight", "bias"])), "norm.running_var");
  refuses(
    () => normalized(x, batchNorm(), vectors(["weight", "bias", "running_var"])),
    "norm.running_mean",
  );
  refuses(() => normalized(x, layerNorm(), vectors(["weight"])), "norm.bias");
});
