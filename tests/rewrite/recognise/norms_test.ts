/** Normalizations in every spelling of the exporters: statistics, gains and shifts, and what comes near. */
import assert from "node:assert/strict";
import { isOp } from "../../../src/ops/table.ts";
import { foldNorms, optimize } from "../../../src/rewrite/pipeline.ts";
import { input, linear, param, Random, theNode } from "../../support.ts";
import {
  add,
  becomes,
  div,
  mean,
  mul,
  op,
  opsOf,
  recognised,
  sqrt,
  square,
  staysPlain,
  sub,
} from "./spellings.ts";
import { cast, constant, reshape, type Tensor, transpose } from "../../nodes.ts";

const random = new Random(5);
const x = input("x", [2, 3, 8]);
const vector = (name: string, shape: readonly number[] = [8]) => param(name, shape, { random });
const weight = vector("norm1.weight");
const bias = vector("norm1.bias");
const E = Math.fround(1e-6);
const inverse = (y: Tensor) => div(1, sqrt(y));
const centred = (y: Tensor, axis = -1) => sub(y, mean(y, axis));
const variance = (y: Tensor, axis = -1) => mean(square(centred(y, axis)), axis);

const layerNorms: Readonly<Record<string, Tensor>> = {
  "TorchScript: pow, mean, sqrt, div": (() => {
    const c = centred(x);
    return div(c, sqrt(add(mean(op("pow", [c, 2])), E)));
  })(),
  "the difference computed twice": div(centred(x), sqrt(add(variance(x), E))),
  "times itself, reciprocal": mul(centred(x), inverse(add(variance(x), E))),
  "epsilon first": mul(inverse(add(E, variance(x))), centred(x)),
  "pow(-0.5)": mul(centred(x), op("pow", [add(variance(x), E), -0.5])),
  "mean x^2 - m^2": div(centred(x), sqrt(add(sub(mean(square(x)), square(mean(x))), E))),
  "no epsilon": div(centred(x), sqrt(variance(x))),
};

Deno.test("layer_norm: (x - m) / sqrt(v + e), in every spelling", () => {
  const graphs = becomes(["layer_norm"], layerNorms);
  const epsilons = graphs.map((graph) => theNode(graph, "layer_norm").attrs.epsilon);
  // Of the file's 9.99999997e-7 in float32: the shortest decimal that rounds to it.
  assert.deepEqual(epsilons, [1e-6, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6, 0]);
});

Deno.test("layer_norm and its gain and shift are one normalization, named by the weight", () => {
  const spelled = Object.entries(layerNorms).map(([name, node]) => [name, add(mul(node, weight), bias)]);
  for (const graph of becomes(["layer_norm", "channel_affine"], Object.fromEntries(spelled))) {
    const [statistics, affine] = [theNode(graph, "layer_norm"), theNode(graph, "channel_affine")];
    assert.equal(affine.name, "norm1");
    assert.equal(affine.attrs.norm, statistics.attrs.norm);
    assert.equal(affine.attrs.family, "ln");
  }
  const behind = linear(add(mul(weight, layerNorms["no epsilon"]!), bias), 4, { random });
  const { norms } = foldNorms(recognised(behind));
  assert.deepEqual(norms.map(({ norm, into }) => ({ norm, into })), [{ norm: "norm1", into: ["fc"] }]);
});

Deno.test("layer_norm as Keras writes it: x (r g) + (b - m (r g))", () => {
  const scale = mul(inverse(add(variance(x), E)), weight);
  becomes(["layer_norm", "channel_affine"], {
    tf2onnx: add(mul(x, scale), sub(bias, mul(mean(x), scale))),
    "the other way round": add(sub(bias, mul(scale, mean(x))), mul(scale, x)),
    "Keras 3: (-m) s + b": add(mul(x, scale), add(mul(op("neg", [mean(x)]), scale), bias)),
  });
});

Deno.test("layer_norm over the channels of a map, gain and shift too", () => {
  const map = input("x", [2, 6, 4, 3]);
  const bare = div(centred(map, 1), sqrt(add(variance(map, 1), E)));
  becomes(["transpose", "layer_norm", "transpose"], { bare });
  const full = add(mul(vector("norm.weight", [6, 1, 1]), bare), vector("norm.bias", [6, 1, 1]));
  const graph = recognised(full);
  assert.deepEqual(opsOf(graph), ["transpose", "layer_norm", "channel_affine", "transpose"]);
  assert.equal(theNode(graph, "channel_affine").attrs.norm, theNode(graph, "layer_norm").attrs.norm);
});

Deno.test("rms_norm: x / sqrt(mean x^2 + e), in every spelling", () => {
  becomes(["rms_norm"], {
    "x rsqrt": mul(x, inverse(add(mean(square(x)), E))),
    "pow(x, 2)": mul(x, inverse(add(mean(op("pow", [x, 2])), E))),
    "x / sqrt": div(x, sqrt(add(mean(square(x)), E))),
    "pow(-0.5)": mul(x, op("pow", [add(mean(square(x)), E), -0.5])),
  });
  const bare = mul(x, inverse(add(mean(square(x)), E)));
  const [graph] = becomes(["rms_norm", "channel_affine"], { Llama: mul(weight, bare) });
  assert.equal(theNode(graph!, "channel_affine").attrs.family, "rms");
});

Deno.test("statistics in float32 of a narrower tensor are the operator's own", () => {
  const narrow = input("x", [2, 3, 8], "fp16");
  const wide = cast(narrow, "fp32");
  const gain = param("norm.weight", [8], { random, dtype: "fp16" });
  const llama = mul(gain, cast(mul(wide, inverse(add(mean(square(wide)), E))), "fp16"));
  becomes(["rms_norm", "channel_affine"], { "the gain behind the cast": llama });
  const layer = cast(div(centred(wide), sqrt(add(variance(wide), E))), "fp16");
  becomes(["layer_norm"], { "a layer norm": layer });
});

Deno.test("what comes near a normalization stays as it is", () => {
  const rows = input("rows", [2, 3, 8]);
  const over = (axes: readonly number[]) => (y: Tensor) => op("reduce_mean", [y], { axes, keepDims: true });
  const both = over([1, 2]);
  staysPlain(["layer_norm", "rms_norm"], {
    "epsilon outside the root": div(centred(x), add(sqrt(variance(x)), E)),
    "the unbiased variance": div(centred(x), sqrt(add(mul(variance(x), 8 / 7), E))),
    "a mean over two axes": div(sub(x, both(x)), sqrt(add(both(square(sub(x, both(x)))), E))),
    "the variance of another tensor": div(centred(x), sqrt(add(variance(rows), E))),
    "of another axis": div(centred(x), sqrt(add(variance(x, 1), E))),
    "a sum of squares": div(x, sqrt(add(op("reduce_sum", [square(x)], { axes: [-1], keepDims: true }), E))),
    "x times the root": mul(x, sqrt(add(mean(square(x)), E))),
    "epsilon subtracted": div(x, sqrt(sub(mean(square(x)), -1))),
  });
  // Less the mean over tokens, it is a root mean square and no more.
  becomes(["reduce_mean", "sub", "rms_norm"], {
    "the mean of another axis": div(centred(x, 1), sqrt(add(mean(square(centred(x, 1))), E))),
  });
});

Deno.test("a multiply and add per channel is a normalization, named by its weight", () => {
  const scale = vector("blocks.0.norm.scale");
  const shift = vector("blocks.0.norm.shift");
  const tokens: Readonly<Record<string, Tensor>> = {
    "x g + b": add(mul(x, scale), shift),
    "b + g x": add(shift, mul(scale, x)),
    "x g - b": sub(mul(x, scale), shift),
    "(x - m) g": mul(sub(x, shift), scale),
    "(x + m) / g": div(add(x, shift), scale),
    "(x - m) / s * g + b": add(mul(div(sub(x, vector("norm.mean")), vector("norm.deviation")), scale), shift),
    "axes of size 1": add(mul(x, vector("blocks.0.norm.scale", [1, 1, 8])), vector("norm.shift", [1, 1, 8])),
  };
  for (const graph of becomes(["channel_affine"], tokens)) {
    assert.equal(theNode(graph, "channel_affine").attrs.family, "affine");
  }
  const { norms } = foldNorms(recognised(linear(tokens["x g + b"]!, 4, { random })));
  assert.deepEqual(norms.map(({ norm, folded, family }) => ({ norm, folded, family })), [
    { norm: "blocks.0.norm", folded: true, family: "affine" },
  ]);
});

Deno.test("a gain alone is a layer-scale; it folds into the product in front", () => {
  const branch = mul(linear(x, 8, { random }), vector("blocks.0.ls1.gamma"));
  const [graph] = becomes(["linear", "channel_affine", "add"], { "layer-scale": add(x, branch) });
  const { norms, graph: folded } = optimize(graph!);
  assert.deepEqual(norms.map(({ norm, family, into }) => ({ norm, family, into })), [
    { norm: "blocks.0.ls1", family: "layerscale", into: ["fc"] },
  ]);
  assert.deepEqual(opsOf(folded), ["linear", "add"]);
});

Deno.test("an affine of channels in front of tokens is one of tokens, without the transposes", () => {
  const channels = transpose(x, [0, 2, 1]);
  const norm = add(mul(channels, vector("bn.weight", [8, 1])), vector("bn.bias", [8, 1]));
  becomes(["channel_affine"], { "BatchNorm1d over [B, C, T]": transpose(norm, [0, 2, 1]) });
  const flat = reshape(x, [6, 8]);
  const rows = reshape(add(mul(flat, weight), bias), [2, 3, 8]);
  const [graph] = becomes(["channel_affine", "linear"], {
    "over [B T, C]": linear(rows, 4, { random }),
  });
  assert.ok(foldNorms(graph!).norms.every(({ folded }) => folded));
});

Deno.test("constants that are no gain or shift of channels stay plain", () => {
  staysPlain(["channel_affine"], {
    "a lone shift": add(x, bias),
    "one number": add(mul(x, 2), 1),
    positions: add(x, param("pos_embed", [1, 3, 8], { random })),
    "a table": mul(x, param("cosines", [3, 8], { random })),
    "a row that becomes a matrix": mul(input("column", [3, 1]), weight),
  });
  const gain = op("mul", [x, param("tokens", [3, 1], { random })]);
  assert.ok(isOp(theNode(recognised(gain), "channel_affine"), "channel_affine"));
});

Deno.test("group normalization by a reshape, its gain and shift behind it", () => {
  const map = input("x", ["B", 6, 4, 3]);
  const [G, N] = [2, 36];
  const rows = reshape(map, ["B", G, N]);
  const swap = (y: Tensor) => transpose(y, [0, 2, 1]);
  const lone = op("group_norm", [swap(rows)], { groups: G, epsilon: E, norm: Symbol("instance") });
  const identity = op("channel_affine", [
    lone,
    constant([1, 1], { name: "ones", dtype: "fp32" }),
    constant([0, 0], { name: "zeros", dtype: "fp32" }),
  ], { axis: -1, norm: lone.attrs.norm, family: "gn" });
  const written = div(centred(rows), sqrt(add(variance(rows), E)));
  const gained = (y: Tensor) =>
    add(mul(reshape(y, ["B", 6, 4, 3]), vector("gn.weight", [6, 1, 1])), vector("gn.bias", [1, 6, 1, 1]));
  const dims = { dims: { B: 2 } };
  const graphs = becomes(["transpose", "group_norm", "channel_affine", "transpose"], {
    "instance normalization": gained(swap(lone)),
    "with ones and zeros": gained(swap(identity)),
    "written out": gained(written),
  }, dims);
  for (const graph of graphs) {
    const [statistics, affine] = [theNode(graph, "group_norm"), theNode(graph, "channel_affine")];
    assert.equal(statistics.attrs.groups, G);
    assert.deepEqual([affine.name, affine.attrs.family, affine.attrs.norm], [
      "gn",
      "gn",
      statistics.attrs.norm,
    ]);
  }
  staysPlain(["group_norm"], { "rows across channels": reshape(written, ["B", 4, 6, 3]) }, dims);
});
