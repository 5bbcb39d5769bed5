import assert from "node:assert/strict";
import type { Model } from "../../src/dsl/mod.ts";
import { heldData } from "../../src/ir/data.ts";
import { type Node, usesOf } from "../../src/ir/graph.ts";
import type { DimValues } from "../../src/ir/shape.ts";
import { bert, BERT_BASE } from "../../src/models/bert.ts";
import { GPT2, gpt2 } from "../../src/models/gpt2.ts";
import { llama, TINY_LLAMA } from "../../src/models/llama.ts";
import { swin } from "../../src/models/swin.ts";
import { T2T_VIT_14, t2tVit } from "../../src/models/t2t_vit.ts";
import { IWSLT14, translation } from "../../src/models/translation.ts";
import { vit, VIT_B16 } from "../../src/models/vit.ts";
import { apply, constantNode } from "../../src/ops/table.ts";
import { attentionsIn, isMasked, type Operand } from "../../src/rewrite/attention/anatomy.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { graphOf, input, linear, meaningDifference, Random } from "../support.ts";
import { SWIN_TINY, traced } from "./networks.ts";
import { scaledDotProductAttention, slice } from "../nodes.ts";

const SMALL = { channels: 32, heads: 4, hidden: 64, depth: 1 } as const;
const IMAGES = { ...SMALL, image: 32, classes: 5 } as const;

/** "blocks.0.attn.qkv 32+32": the product, the first of its rows and how many. */
function told({ rows, isOnlyReader, repeats, tokens }: Operand): string {
  if (rows === null) return tokens === null ? "nothing" : `tokens [${tokens.type.shape}]`;
  const groups = repeats === 1 ? "" : ` each for ${repeats}`;
  assert.equal(tokens === null, repeats > 1);
  return `${rows.product.name} ${rows.start}+${rows.size}${groups}${isOnlyReader ? "" : " shared"}`;
}

const DIMS: DimValues = { B: 2, T: 3, S: 5, P: 3 };

function anatomyOf(model: Model, { optimized = false, dims = DIMS } = {}) {
  const graph = traced(model, { dims });
  return attentionsIn(usesOf(optimized ? optimize(graph).graph : graph)).map((
    { node, q, k, v, packed, readers },
  ) => ({
    parts: [q, k, v].map(told),
    packed: packed?.name ?? null,
    readers: readers?.map(({ name }) => name) ?? null,
    isMasked: isMasked(node),
  }));
}

Deno.test("anatomy of a ViT: thirds of a packed product", () => {
  const model = vit({ ...VIT_B16, ...IMAGES, patch: 16 });
  const packed = {
    parts: ["blocks.0.attn.qkv 0+32", "blocks.0.attn.qkv 32+32", "blocks.0.attn.qkv 64+32"],
    packed: "blocks.0.attn.qkv",
    readers: ["blocks.0.attn.proj"],
    isMasked: false,
  };
  assert.deepEqual(anatomyOf(model), [packed]);
  assert.deepEqual(anatomyOf(model, { dims: {} }), [packed]);
});

Deno.test("anatomy of BERT: three products, and thirds of one when they are merged", () => {
  const model = bert({ ...BERT_BASE, ...SMALL, vocabulary: 20, positions: 8 }, { name: "bert" });
  const scope = "encoder.layer.0.attention";
  const [separate] = anatomyOf(model);
  assert.deepEqual(separate!.parts, ["query", "key", "value"].map((part) => `${scope}.self.${part} 0+32`));
  assert.deepEqual([separate!.packed, separate!.readers], [null, [`${scope}.output.dense`]]);
  const [merged] = anatomyOf(model, { optimized: true });
  assert.equal(merged!.packed, `${scope}.self.query+key+value`);
});

Deno.test("anatomy of GPT-2: causal, its keys and values kept or set behind kept ones", () => {
  const config = { ...GPT2, ...SMALL, vocabulary: 20, context: 8 };
  const [plain, prefill, step] = (["plain", "prefill", "step"] as const).map((mode) =>
    anatomyOf(gpt2({ ...config, mode }))[0]!
  );
  const own = ["h.0.attn.c_attn 0+32", "h.0.attn.c_attn 32+32", "h.0.attn.c_attn 64+32"];
  assert.deepEqual(plain, {
    parts: own,
    packed: "h.0.attn.c_attn",
    readers: ["h.0.attn.c_proj"],
    isMasked: true,
  });
  assert.deepEqual(prefill!.parts, [own[0], `${own[1]} shared`, `${own[2]} shared`]);
  assert.deepEqual(step, {
    parts: [own[0], "nothing", "nothing"],
    packed: null,
    readers: plain!.readers,
    isMasked: false,
  });
});

Deno.test("anatomy of Llama: grouped heads of values; rotated queries and keys are no rows", () => {
  const model = llama({ ...TINY_LLAMA, ...SMALL, groups: 2, size: 8, vocabulary: 20, context: 8 });
  assert.deepEqual(anatomyOf(model), [{
    parts: ["nothing", "nothing", "model.layers.0.self_attn.v_proj 0+16 each for 2"],
    packed: null,
    readers: ["model.layers.0.self_attn.o_proj"],
    isMasked: true,
  }]);
});

Deno.test("anatomy of Swin: heads of windows, where the windows of all images are the batch", () => {
  const [whole, shifted] = anatomyOf(swin(SWIN_TINY), { dims: {} });
  for (const [i, windows] of [whole!, shifted!].entries()) {
    const scope = `layers.0.blocks.${i}.attn`;
    assert.deepEqual(windows.parts, [0, 8, 16].map((start) => `${scope}.qkv ${start}+8`));
    assert.deepEqual([windows.packed, windows.readers], [`${scope}.qkv`, [`${scope}.proj`]]);
  }
});

Deno.test("anatomy of a translation Transformer: queries of one sequence, keys and values of another", () => {
  const vocabulary = { source: 20, target: 20 };
  const model = translation({ ...IWSLT14, ...SMALL, encoder: 1, decoder: 1, vocabulary });
  const all = anatomyOf(model, { optimized: true });
  const cross = all.find(({ parts }) => parts[0]!.includes("encoder_attn"))!;
  const scope = "decoder.layers.0.encoder_attn";
  assert.deepEqual(cross, {
    parts: [`${scope}.q_proj 0+32`, `${scope}.k_proj+v_proj 0+32`, `${scope}.k_proj+v_proj 32+32`],
    packed: null,
    readers: [`${scope}.out_proj`],
    isMasked: false,
  });
  assert.deepEqual(all.map(({ isMasked }) => isMasked).sort(), [false, false, true]);
});

Deno.test("anatomy of T2T-ViT: packed without biases; a Performer is no attention", () => {
  const model = t2tVit({ ...T2T_VIT_14, ...IMAGES, tokenChannels: 8, features: 4 });
  assert.deepEqual(anatomyOf(model).map(({ packed }) => packed), ["blocks.0.attn.qkv"]);
});

Deno.test("anatomy tells what else reads an operand's rows or the attention", () => {
  const swapped = (x: Node, heads = 2) => {
    const split = apply("reshape", [x], { attrs: { shape: [2, 3, heads, 4 / heads] } });
    return apply("transpose", [split], { attrs: { permutation: [0, 2, 1, 3] } });
  };
  const random = new Random(1);
  const packed = linear(input("x", [2, 3, 4]), 12, { random, name: "qkv" });
  const third = (i: number) => slice(packed, { axis: -1, start: 4 * i, end: 4 * i + 4 });
  const [q, k, v] = [0, 1, 2].map((i) => swapped(third(i))) as [Node, Node, Node];
  const mixed = scaledDotProductAttention({ q, k, v });
  const others: readonly (readonly [Node, readonly boolean[]])[] = [
    [packed, [false, false, false]],
    [slice(packed, { axis: 2, start: 6, end: 10 }), [true, false, false]],
    [slice(packed, { axis: 2, start: 5, end: 12, step: 6 }), [true, false, false]],
    [slice(packed, { axis: 1, start: 0, end: 1 }), [false, false, false]],
    [k, [true, false, true]],
    [mixed, [true, true, true]],
  ];
  for (const [other, isOnlyReader] of others) {
    const [attention] = attentionsIn(usesOf(graphOf({ mixed, other })));
    const { q, k, v, readers } = attention!;
    assert.deepEqual([q, k, v].map((operand) => operand.isOnlyReader), isOnlyReader, other.name);
    assert.equal(attention!.packed, packed);
    assert.equal(readers, null);
  }
  const [shared] = attentionsIn(usesOf(graphOf(scaledDotProductAttention({ q, k, v: k }))));
  assert.deepEqual([shared!.q, shared!.k, shared!.v].map(({ isOnlyReader }) => isOnlyReader), [
    true,
    false,
    false,
  ]);
});

/**
 * A product of which output c is x + c: where x is zero, what is made of it by moves tells where it is from.
 */
function counting(outputs: number): Node {
  const weight = constantNode(heldData([outputs, 1], new Float64Array(outputs).fill(1), "w"), {
    dtype: "fp32",
    name: "w",
  });
  const counted = Float64Array.from({ length: outputs }, (_, c) => c);
  const bias = constantNode(heldData([outputs], counted, "b"), { dtype: "fp32", name: "b" });
  return apply("linear", [input("x", [6, 4, 1]), weight, bias], { attrs: {}, name: "product" });
}

Deno.test("anatomy tells the truth of rows and tokens behind any moves, and sees through many", () => {
  let [seen, grouped, whole] = [0, 0, 0];
  for (let seed = 0; seed < 2000; seed++) {
    const random = new Random(seed);
    const size = random.pick([4, 8, 12]);
    const start = random.pick([0, 4, 8].filter((start) => start + size <= 12));
    let x = counting(12);
    if (size < 12) x = slice(x, { axis: -1, start, end: start + size });
    for (let moves = random.integer(0, 3); moves > 0; moves--) x = moved(x, random);
    x = split(x, random);
    const { rows, repeats, tokens } = attentionsIn(usesOf(graphOf(attended(x))))[0]!.q;
    const shape = x.type.shape as readonly [number, number, number, number];
    const [batch, heads, queries, channels] = shape;
    if (rows !== null) {
      const zeros = { x: { shape: [6, 4, 1], data: new Float64Array(24) } };
      const { data } = evaluateGraph(graphOf(x), zeros).y!;
      const wanted = data.map((_, i) => {
        const head = Math.floor(i / channels / queries) % heads;
        return rows.start + Math.floor(head / repeats) * channels + i % channels;
      });
      assert.deepEqual(data, wanted, `seed ${seed}`);
      assert.equal(rows.size * repeats, heads * channels);
      seen++;
      if (repeats > 1) grouped++;
    }
    if (tokens !== null) {
      const apart = apply("reshape", [tokens], { attrs: { shape: [batch, queries, heads, channels] } });
      const again = apply("transpose", [apart], { attrs: { permutation: [0, 2, 1, 3] } });
      assert.equal(meaningDifference(graphOf(again), graphOf(x), seed), 0, `seed ${seed}`);
      whole++;
    }
  }
  assert.ok(
    seen > 300 && grouped > 100 && whole > 500,
    `${seen} of rows, ${grouped} grouped, ${whole} of tokens`,
  );
});

const attended = (x: Node) => scaledDotProductAttention({ q: x, k: x, v: x });

/** The last axis as heads, each of them beside itself again now and then; or four axes by chance. */
function split(x: Node, random: Random): Node {
  const shape = x.type.shape as readonly number[];
  if (random.uniform() < 0.2) {
    return apply("reshape", [x], { attrs: { shape: factored(elements(shape), 4, random) } });
  }
  const [batch, tokens] = factored(elements(shape.slice(0, -1)), 2, random) as [number, number];
  const [heads, size] = factored(shape.at(-1)!, 2, random) as [number, number];
  const apart = apply("reshape", [x], { attrs: { shape: [batch, tokens, heads, size] } });
  const swapped = apply("transpose", [apart], { attrs: { permutation: [0, 2, 1, 3] } });
  if (random.uniform() < 0.6) return swapped;
  const thin = apply("reshape", [swapped], { attrs: { shape: [batch, heads, 1, tokens, size] } });
  const many = apply("expand", [thin], { attrs: { shape: [batch, heads, 3, tokens, size] } });
  return apply("reshape", [many], { attrs: { shape: [batch, heads * 3, tokens, size] } });
}

/** A random reshape, transpose or expand. */
function moved(x: Node, random: Random): Node {
  const shape = x.type.shape as readonly number[];
  const kind = random.pick(["reshape", "transpose", "transpose", "expand"] as const);
  if (kind === "transpose") {
    const axes = shape.map((_, axis) => axis);
    const permutation = shape.map(() => axes.splice(random.integer(0, axes.length - 1), 1)[0]!);
    return apply("transpose", [x], { attrs: { permutation } });
  }
  if (kind === "expand") {
    const at = random.integer(0, shape.length);
    const apart = [...shape.slice(0, at), 1, ...shape.slice(at)];
    const thin = apply("reshape", [x], { attrs: { shape: apart } });
    return apply("expand", [thin], { attrs: { shape: apart.map((dim, i) => i === at ? 2 : dim) } });
  }
  return apply("reshape", [x], { attrs: { shape: factored(elements(shape), random.integer(2, 5), random) } });
}

const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** A number as a product of so many. */
function factored(whole: number, count: number, random: Random): number[] {
  const shape: number[] = [];
  for (; shape.length < count - 1; whole /= shape.at(-1)!) {
    const divisors = Array.from({ length: whole }, (_, i) => i + 1).filter((d) => whole % d === 0);
    shape.push(random.pick(divisors));
  }
  return [...shape, whole];
}
