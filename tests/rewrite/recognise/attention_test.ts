/** Attention in every spelling of the exporters, heads and masks, and what comes near. */
import assert from "node:assert/strict";
import { float64Of, heldData, type TensorData } from "../../../src/ir/data.ts";
import type { Node } from "../../../src/ir/graph.ts";
import { apply, constantNode } from "../../../src/ops/table.ts";
import { foldNorms } from "../../../src/rewrite/pipeline.ts";
import { attentionsIn } from "../../../src/rewrite/attention/anatomy.ts";
import { usesOf } from "../../../src/ir/graph.ts";
import { affine, input, linear, nodesOf, param, Random, theNode } from "../../support.ts";
import { add, becomes, div, mul, op, opsOf, recognised, staysPlain } from "./spellings.ts";
import {
  expand,
  gather,
  matmul,
  relu,
  reshape,
  slice,
  softmax,
  type Tensor,
  transpose,
} from "../../nodes.ts";

const [B, T, H, D] = [2, 5, 2, 4];
const C = H * D;
const random = new Random(3);
const q = input("q", [B, H, T, D]);
const k = input("k", [B, H, T, D]);
const v = input("v", [B, H, T, D]);
const flip = (y: Tensor) => transpose(y, [0, 1, 3, 2]);
const SCALE = Math.fround(D ** -0.5);
const ROOT = Math.fround(D ** -0.25);

Deno.test("attention: the factor on queries, on both sides, on the logits", () => {
  const spelled: Readonly<Record<string, Tensor>> = {
    "timm: q * scale": matmul(softmax(matmul(mul(q, SCALE), flip(k))), v),
    "scaled_dot_product_attention: a root on both sides": matmul(
      softmax(matmul(mul(q, ROOT), mul(flip(k), ROOT))),
      v,
    ),
    "a root on keys in front of their transpose": matmul(
      softmax(matmul(mul(q, ROOT), flip(mul(k, ROOT)))),
      v,
    ),
    "transformers: / sqrt(d)": matmul(softmax(div(matmul(q, flip(k)), 2)), v),
    "logits times scale": matmul(softmax(mul(SCALE, matmul(q, k, { transposeB: true }))), v),
    "q / sqrt(d)": matmul(softmax(matmul(div(q, 2), flip(k))), v),
  };
  for (const graph of becomes(["attention"], spelled)) {
    const { attrs, type } = theNode(graph, "attention");
    assert.deepEqual(attrs, { scale: 0.5, causal: false });
    assert.deepEqual(type.shape, [B, H, T, D]);
  }
  const [other] = becomes(["attention"], {
    "another factor": matmul(softmax(matmul(mul(q, 0.3), flip(k))), v),
  });
  assert.equal(theNode(other!, "attention").attrs.scale, Math.fround(0.3));
});

Deno.test("a temperature of each head is one of its queries", () => {
  const heads = transpose(reshape(input("x", [B, T, C]), [B, T, H, D]), [0, 2, 1, 3]);
  const temperature = param("attn.temperature", [H, 1, 1], { random });
  const wanted = ["reshape", "transpose", "mul", "attention"];
  becomes(wanted, {
    "SwinV2, XCiT": matmul(softmax(mul(matmul(heads, flip(k)), temperature)), v),
    "in front of a scale": matmul(softmax(mul(mul(matmul(heads, flip(k)), temperature), 2)), v),
  });
});

Deno.test("tf2onnx's einsums: heads flattened for each product and unflattened between, biases of heads", () => {
  const x = input("x", [B, T, C]);
  const heads = (name: string) => {
    const product = linear(x, C, { random, name, bias: false });
    return add(reshape(product, [B, T, H, D]), param(`${name}.bias`, [H, D], { random }));
  };
  // The queries' axes have one of size 1 in between.
  const queries = reshape(transpose(reshape(heads("q"), [B, T, H, 1, D]), [0, 2, 1, 3, 4]), [B * H, T, D]);
  const keys = reshape(transpose(heads("k"), [0, 2, 3, 1]), [B * H, D, T]);
  const values = reshape(transpose(heads("v"), [0, 2, 1, 3]), [B * H, T, D]);
  const logits = mul(reshape(matmul(queries, keys), [B, H, T, T]), SCALE);
  const mixedOf = (weights: Tensor) => reshape(matmul(reshape(weights, [B * H, T, T]), values), [B, H, T, D]);
  const split = ["linear", "reshape", "transpose"];
  becomes([...split, ...split, ...split, "attention"], { plain: mixedOf(softmax(logits)) });
  // A mask that was given, of ones, and the causal one; c l + (not c) f for where(c, l, f).
  const ones = expand(truths([1, 1, 1, 1], () => true), [B, H, T, T]);
  const seen = op("and", [ones, truths([1, 1, T, T], (i) => i % T <= Math.floor(i / T))]);
  const truth = (condition: Node) => op("cast", [condition], { to: "fp32" });
  const chosen = add(mul(truth(seen), logits), mul(-1e9, truth(op("not", [seen]))));
  const graph = recognised(mixedOf(softmax(chosen)));
  assert.deepEqual(opsOf(graph), [...split, ...split, ...split, "attention"]);
  assert.equal(theNode(graph, "attention").attrs.causal, true);
});

Deno.test("a product of flattened batches with a batch of one stays as it is", () => {
  const rows = reshape(input("x", [2, 3, 4, 5]), [6, 4, 5]);
  const one = reshape(input("z", [5, 2, 3]), [1, 5, 6]);
  becomes(["reshape", "reshape", "matmul"], { "one for all": matmul(rows, one) });
});

Deno.test("attention over heads flattened with the batch, or one head", () => {
  const flat = (y: Tensor) => reshape(y, [B * H, T, D]);
  const swap = (y: Tensor) => transpose(y, [0, 2, 1]);
  becomes(["attention"], {
    "torch.bmm": reshape(matmul(softmax(matmul(mul(flat(q), SCALE), swap(flat(k)))), flat(v)), [B, H, T, D]),
    "dynamo flattens for the transpose": matmul(
      softmax(matmul(mul(q, ROOT), mul(reshape(swap(flat(k)), [B, H, D, T]), ROOT))),
      v,
    ),
  });
  const [x, y, z] = ["left", "right", "values"].map((name) => input(name, [B, T, D])) as [Node, Node, Node];
  const graph = recognised(matmul(softmax(matmul(mul(x, SCALE), swap(y))), z));
  assert.deepEqual(opsOf(graph), ["reshape", "reshape", "reshape", "attention", "reshape"]);
});

/** Self-attention of tokens, by a function that makes heads of the packed product. */
function selfAttention(
  heads: (packed: Tensor) => readonly Tensor[],
  { shape = [B, T, C] as (number | string)[] } = {},
): Tensor {
  const x = input("x", shape);
  const [q, k, v] = heads(linear(x, 3 * C, { random, name: "qkv" })) as [Tensor, Tensor, Tensor];
  const mixed = matmul(softmax(matmul(mul(q, SCALE), flip(k))), v);
  return linear(reshape(transpose(mixed, [0, 2, 1, 3]), shape), C, { random, name: "proj" });
}

const five = (y: Tensor) => reshape(y, [y.type.shape[0]!, T, 3, H, D]);
const index = (i: number, shape: readonly number[] = []) =>
  constantNode(heldData(shape, BigInt64Array.of(BigInt(i)), "index"), { dtype: "int64", name: "index" });
const packed: Readonly<Record<string, (y: Tensor) => readonly Tensor[]>> = {
  "timm: reshape, permute, unbind": (y) =>
    [0, 1, 2].map((i) =>
      reshape(slice(transpose(five(y), [2, 0, 3, 1, 4]), { axis: 0, start: i, size: 1 }), [
        y.type.shape[0]!,
        H,
        T,
        D,
      ])
    ),
  "indices of an older opset": (y) =>
    [0, 1, 2].map((i) => gather(transpose(five(y), [2, 0, 3, 1, 4]), index(i), { axis: 0 })),
  "unbind before the transpose": (y) =>
    [0, 1, 2].map((i) =>
      transpose(reshape(slice(five(y), { axis: 2, start: i, size: 1 }), [y.type.shape[0]!, T, H, D]), [
        0,
        2,
        1,
        3,
      ])
    ),
  "chunks of the product": (y) =>
    [0, 1, 2].map((i) =>
      transpose(reshape(slice(y, { axis: 2, start: i * C, size: C }), [y.type.shape[0]!, T, H, D]), [
        0,
        2,
        1,
        3,
      ])
    ),
};

for (const batch of [2, 1, "B"]) {
  Deno.test(`q, k and v of one product are its thirds, at a batch of ${batch}`, () => {
    for (const [name, heads] of Object.entries(packed)) {
      const graph = recognised(selfAttention(heads, { shape: [batch, T, C] }), { dims: { B: 3 } });
      const [attention] = attentionsIn(usesOf(graph));
      assert.equal(attention?.packed?.name, "qkv", name);
      assert.deepEqual(attention.readers?.map(({ name }) => name), ["proj"], name);
      assert.ok([attention.q, attention.k, attention.v].every(({ tokens }) => tokens !== null), name);
    }
  });
}

Deno.test("q, k and v of three products, keys transposed straight to [B, H, D, T]", () => {
  const x = input("x", [B, T, C]);
  const [q, k, v] = ["q", "k", "v"].map((name) => reshape(linear(x, C, { random, name }), [B, T, H, D]));
  // T5 scales them by 1.
  const keys = mul(transpose(k!, [0, 2, 3, 1]), 1);
  const mixed = matmul(softmax(matmul(transpose(q!, [0, 2, 1, 3]), keys)), transpose(v!, [0, 2, 1, 3]));
  const graph = recognised(linear(reshape(transpose(mixed, [0, 2, 1, 3]), [B, T, C]), C, { random }));
  const [attention] = attentionsIn(usesOf(graph));
  assert.deepEqual([attention!.q, attention!.k, attention!.v].map(({ rows }) => rows?.product.name), [
    "q",
    "k",
    "v",
  ]);
  assert.equal(attention!.node.attrs.scale, 1);
});

Deno.test("grouped heads are those of fewer products, repeated", () => {
  const x = input("x", [B, T, C]);
  const heads = (name: string, count: number) =>
    transpose(reshape(linear(x, count * D, { random, name }), [B, T, count, D]), [0, 2, 1, 3]);
  const many = (y: Tensor) => reshape(expand(reshape(y, [B, 2, 1, T, D]), [B, 2, H, T, D]), [B, 2 * H, T, D]);
  const keys = mul(flip(many(heads("k", 2))), ROOT);
  const mixed = matmul(softmax(matmul(mul(heads("q", 2 * H), ROOT), keys)), many(heads("v", 2)));
  const [attention] = attentionsIn(usesOf(recognised(mixed)));
  assert.deepEqual([attention!.q, attention!.k, attention!.v].map(({ repeats }) => repeats), [1, H, H]);
});

Deno.test("products of flattened or transposed tokens are those of the tokens", () => {
  const x = input("x", ["B", T, C]);
  const rows = reshape(linear(reshape(x, [`${T}*B`, C]), 3, { random }), ["B", T, 3]);
  const first = transpose(linear(transpose(x, [1, 0, 2]), 3, { random }), [1, 0, 2]);
  becomes(["linear"], { "GPT-2's Conv1D": rows, "MultiheadAttention: tokens first": first }, {
    dims: { B: 2 },
  });
});

Deno.test("q, k and v of each head in turn are regrouped, a scale and shift behind the product too", () => {
  const sizes = [D, D, 6];
  const outputs = H * (2 * D + 6);
  const starts = [0, D, 2 * D];
  const wholes: Readonly<Record<string, (y: Tensor) => readonly Tensor[]>> = {
    "LeViT: parts of [B, T, H, m]": (y) =>
      starts.map((start, i) =>
        transpose(slice(reshape(y, [B, T, H, 14]), { axis: 3, start, size: sizes[i]! }), [0, 2, 1, 3])
      ),
    "GPT-NeoX: parts of [B, H, T, m]": (y) => {
      const heads = transpose(reshape(y, [B, T, H, 14]), [0, 2, 1, 3]);
      return starts.map((start, i) => slice(heads, { axis: 3, start, size: sizes[i]! }));
    },
  };
  for (const [name, parts] of Object.entries(wholes)) {
    for (const normalized of [false, true]) {
      const product = linear(input("x", [B, T, C]), outputs, { random, name: "qkv" });
      const packed = normalized ? affine(product, { random }) : product;
      const [q, k, v] = parts(packed) as [Tensor, Tensor, Tensor];
      const graph = recognised(matmul(softmax(matmul(mul(q, SCALE), flip(k))), v));
      const { folded } = foldNorms(graph);
      const [attention] = attentionsIn(usesOf(folded));
      const rows = [attention!.q, attention!.k, attention!.v].map(({ rows }) => [rows?.start, rows?.size]);
      assert.deepEqual(rows, [[0, H * D], [H * D, H * D], [2 * H * D, H * 6]], name);
    }
  }
  // What else reads the product finds its rows where they were.
  const product = linear(input("x", [B, T, C]), 3 * C, { random });
  const heads = reshape(product, [B, T, H, 3 * D]);
  const half = { y: relu(slice(heads, { axis: 3, size: D })), product };
  assert.deepEqual(opsOf(recognised(half)), ["linear", "reshape", "slice", "relu"]);
});

const logits = matmul(mul(q, SCALE), flip(k));
const mixedBy = (scores: Tensor) => matmul(softmax(scores), v);
const masks = { keys: input("keys", [B, 1, 1, T]), bias: param("bias", [1, H, T, T], { random }) };
const truths = (shape: readonly number[], holds: (i: number) => boolean) => {
  const values = Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => holds(i) ? 1 : 0);
  return constantNode({ dtype: "bool", shape, origin: "seen", bytes: () => values }, {
    dtype: "bool",
    name: "seen",
  });
};
const LOWEST = -3.4028234663852886e38;

Deno.test("masks that are added are the operator's, those that are known as one", () => {
  const relative = param("relative", [1, H, T, T], { random });
  const [one, two] = becomes(["attention"], {
    "a relative position bias": mixedBy(add(logits, masks.bias)),
    "two of them": mixedBy(add(add(masks.bias, logits), relative)),
  });
  for (const graph of [one!, two!]) assert.equal(theNode(graph, "attention").inputs[3]!.op, "constant");
  becomes(["attention"], { "of keys": mixedBy(add(logits, masks.keys)) });
  becomes(["add", "attention"], { "both kinds": mixedBy(add(add(logits, masks.keys), masks.bias)) });
});

Deno.test("a mask of windows is the operator's, for every image", () => {
  const W = 2;
  const [q, k, v] = ["q", "k", "v"].map((name) => reshape(input(name, ["B", W, H, T, D]), ["2*B", H, T, D]));
  const mask = param("mask", [1, W, 1, T, T], { random });
  const scores = add(matmul(mul(q!, SCALE), flip(k!)), masks.bias);
  const parts = add(reshape(scores, ["B", W, H, T, T]), mask);
  const swin = matmul(softmax(reshape(parts, ["2*B", H, T, T])), v!);
  const many = reshape(expand(mask, ["B", W, H, T, T]), ["2*B", H, T, T]);
  const fused = matmul(softmax(add(matmul(mul(q!, SCALE), flip(k!)), add(masks.bias, many))), v!);
  for (const [name, node] of Object.entries({ swin, fused })) {
    const graph = recognised(node, { dims: { B: 3 } });
    assert.deepEqual(opsOf(graph).filter((op) => op !== "reshape"), ["attention"], name);
    assert.deepEqual(theNode(graph, "attention").inputs[3]!.type.shape, [W, H, T, T], name);
  }
});

Deno.test("where a condition chooses minus infinity, it is a mask", () => {
  const some = truths([1, 1, T, T], (i) => i % 3 !== 1);
  const where = (condition: Node, a: Tensor | number, b: Tensor | number) => op("where", [condition, a, b]);
  becomes(["attention"], {
    "-infinity": mixedBy(where(some, logits, -Infinity)),
    "the lowest number": mixedBy(where(some, logits, LOWEST)),
    "masked_fill: where it is hidden": mixedBy(where(some, LOWEST, logits)),
    "-1e4, each query seeing a key": mixedBy(where(some, logits, -1e4)),
    "a mask made by where": mixedBy(add(logits, where(some, 0, LOWEST))),
  });
  const computed = apply("greater", [masks.keys, param("zero", [1], { random })], { attrs: {} });
  becomes(["greater", "where", "attention"], {
    "computed: the lowest number": mixedBy(where(computed, logits, LOWEST)),
  });
  staysPlain(["attention"], {
    "computed: -1e4": mixedBy(where(computed, logits, -1e4)),
    "-100": mixedBy(where(some, logits, -100)),
    "a query that sees nothing": mixedBy(where(truths([T, T], (i) => i >= T), logits, -1e4)),
  });
});

Deno.test("what comes near attention stays as it is", () => {
  staysPlain(["attention"], {
    "a softmax over queries": matmul(softmax(logits, { axis: 2 }), v),
    "no softmax": matmul(logits, v),
    "a mask inside the factor": mixedBy(mul(add(matmul(q, flip(k)), masks.bias), SCALE)),
    "weights that are changed": matmul(mul(softmax(logits), masks.keys), v),
    "a factor of each query": mixedBy(mul(matmul(q, flip(k)), param("queries", [1, H, T, 1], { random }))),
    "a gate of logits": mixedBy(mul(logits, masks.keys)),
  });
  const weights = softmax(logits);
  const both = recognised({ y: matmul(weights, v), weights });
  assert.equal(nodesOf(both, "attention").length, 0);
});

/** `[T, T]` with 0 where a query sees a key and `hidden` elsewhere. */
const square = (hidden: number, sees: (query: number, key: number) => boolean) =>
  constantNode(
    heldData(
      [1, 1, T, T],
      Float32Array.from({ length: T * T }, (_, i) => sees(Math.floor(i / T), i % T) ? 0 : hidden),
      "mask",
    ),
    { dtype: "fp32", name: "mask" },
  );

Deno.test("a mask above the diagonal is a causal attention, one of zeros is none", () => {
  const causal: Readonly<Record<string, Tensor>> = {
    "-infinity": mixedBy(add(logits, square(-Infinity, (t, s) => s <= t))),
    "the lowest number": mixedBy(add(square(LOWEST, (t, s) => s <= t), logits)),
    "GPT-2: where(tril, l, lowest)": mixedBy(op("where", [
      truths([1, 1, T, T], (i) => i % T <= Math.floor(i / T)),
      logits,
      LOWEST,
    ])),
  };
  for (const graph of becomes(["attention"], causal)) {
    const { attrs, inputs } = theNode(graph, "attention");
    assert.deepEqual([attrs.causal, inputs.length], [true, 3]);
  }
  const [none] = becomes(["attention"], { zeros: mixedBy(add(logits, square(0, () => true))) });
  assert.equal(theNode(none!, "attention").inputs.length, 3);
  for (
    const graph of becomes(["attention"], {
      "-100 above the diagonal": mixedBy(add(logits, square(-100, (t, s) => s <= t))),
      "one below the diagonal": mixedBy(add(logits, square(-Infinity, (t, s) => s < t || t === 0))),
      "one above it": mixedBy(add(logits, square(-Infinity, (t, s) => s <= t + 1))),
    })
  ) {
    const { attrs, inputs } = theNode(graph, "attention");
    assert.deepEqual([attrs.causal, inputs.length], [false, 4]);
  }
});

Deno.test("masks are such as the network's type holds", () => {
  const half = ["q", "k", "v"].map((name) => input(name, [B, H, T, D], "fp16")) as [Node, Node, Node];
  const mask = constantNode(heldData([1, 1, 1, T], Float32Array.of(0, 0, LOWEST, 0, LOWEST), "mask"), {
    dtype: "fp16",
    name: "mask",
  });
  const graph = recognised(matmul(softmax(add(matmul(half[0], flip(half[1])), mask)), half[2]));
  const [, , , held] = theNode(graph, "attention").inputs;
  assert.deepEqual([...float64Of(held!.attrs.data as TensorData)], [0, 0, -1e4, 0, -1e4]);
});

Deno.test("rotations have their signs in the tables, of halves and of pairs", () => {
  const cos = param("cos", [T, D], { random });
  const sin = param("sin", [1, 1, T, D], { random });
  const part = (start: number, step: number) => slice(q, { axis: 3, start, size: D / 2, step });
  const [lower, upper, even, odd] = [part(0, 1), part(D / 2, 1), part(0, 2), part(1, 2)];
  const beside = (y: Tensor) => reshape(y, [B, H, T, D / 2, 1]);
  const pairs = reshape(op("concat", [beside(op("neg", [odd])), beside(even)], { axis: -1 }), [B, H, T, D]);
  const halves = ["slice", "slice", "concat", "mul", "add"];
  becomes(["mul", ...halves], {
    "concat(-upper, lower)": add(
      mul(q, cos),
      mul(op("concat", [op("neg", [upper]), lower], { axis: -1 }), sin),
    ),
    "-1 times": add(mul(q, cos), mul(sin, op("concat", [mul(upper, -1), lower], { axis: 3 }))),
  });
  const graph = recognised(add(mul(q, cos), mul(pairs, sin)));
  assert.equal(nodesOf(graph, "neg").length, 0);
  const computed = op("sin", [input("angles", [T, D])]);
  const open = recognised(mul(op("concat", [op("neg", [upper]), lower], { axis: -1 }), computed));
  assert.equal(nodesOf(open, "neg").length, 1, "of a table that is computed they stay");
  const across = recognised(
    mul(op("concat", [op("neg", [q]), q], { axis: 2 }), param("both", [2 * T, D], { random })),
  );
  assert.equal(nodesOf(across, "neg").length, 1, "of another axis too");
});
