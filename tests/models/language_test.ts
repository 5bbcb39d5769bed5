/**
 * Tests of the language networks' pages: sizes, options, and that folding leaves nothing at the published
 * structure.
 */
import assert from "node:assert/strict";
import { MODELS } from "../../src/models/table.ts";
import { GPT2, gpt2 } from "../../src/models/gpt2.ts";
import { llama, LLAMA_3_2_1B, TINY_LLAMA } from "../../src/models/llama.ts";
import { IWSLT14, ORIGINAL_BASE, translation } from "../../src/models/translation.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import type { Model } from "../../src/dsl/mod.ts";
import { elementCount } from "../../src/ir/data.ts";
import { foldNorm } from "../../src/rewrite/fold/fold_norm.ts";
import { randomWeights, type WeightSource } from "../../src/weights/mod.ts";

/** Names and sizes of what a trace asks for; values are never read. */
function parametersOf(model: Model, norm?: Norm): Map<string, number> {
  const taken = new Map<string, number>();
  const weights: WeightSource = {
    ...randomWeights({ seed: 1 }),
    origin: "recorded",
    take: (name, shape, hint) => {
      taken.set(name, elementCount(shape));
      return randomWeights({ seed: 1 }).take(name, shape, hint);
    },
    unused: () => [],
  };
  model.trace({ weights, ...(norm && { norm }) });
  return taken;
}

const millions = (sizes: Map<string, number>) =>
  Math.round([...sizes.values()].reduce((sum, size) => sum + size, 0) / 1e5) / 10;

Deno.test("the language networks have the published numbers of parameters", () => {
  // Millions: GPT-2's paper rounds the first to 117, its code has 124.4; Meta says 1.23 billion, TinyLlama's
  // authors 1.1.
  assert.equal(millions(parametersOf(gpt2(GPT2))), 124.4);
  assert.equal(millions(parametersOf(llama(LLAMA_3_2_1B))), 1235.8);
  assert.equal(millions(parametersOf(llama(TINY_LLAMA))), 1100);
  assert.equal(millions(parametersOf(translation(IWSLT14), layerNorm())), 36.7);
});

Deno.test("translation() shares one table or has three", () => {
  const small = { ...IWSLT14, channels: 16, hidden: 32, encoder: 1, decoder: 1, length: 8 };
  const tables = (embeddings: "shared" | "apart") =>
    [...parametersOf(translation({ ...small, embeddings })).keys()].filter((name) =>
      /embed|output/.test(name)
    );
  assert.deepEqual(tables("shared"), ["encoder.embed_tokens.weight"]);
  assert.deepEqual(tables("apart").sort(), [
    "decoder.embed_tokens.weight",
    "decoder.output_projection.weight",
    "encoder.embed_tokens.weight",
  ]);
  assert.ok(
    ![...parametersOf(translation({ ...small, placement: "post" })).keys()].includes(
      "encoder.layer_norm.weight",
    ),
  );
});

Deno.test("every language network folds completely with Unified Normalization, whatever its placement", () => {
  const tiny = { channels: 16, heads: 2, hidden: 32 } as const;
  const networks: Model[] = [
    translation({ ...IWSLT14, ...tiny, encoder: 1, decoder: 2 }),
    translation({ ...ORIGINAL_BASE, ...tiny, encoder: 2, decoder: 1 }),
    gpt2({ ...GPT2, ...tiny, depth: 2, mode: "prefill" }),
    gpt2({ ...GPT2, ...tiny, depth: 2, mode: "step" }),
    llama({ ...TINY_LLAMA, ...tiny, groups: 1, size: 8, depth: 2, vocabulary: 40 }),
  ];
  for (const network of networks) {
    const graph = network.trace({ weights: randomWeights({ seed: 1 }), norm: unifiedNorm() });
    const left = foldNorm(graph).norms.filter(({ folded }) => !folded);
    assert.deepEqual(left.map(({ norm, refused }) => [norm, refused]), [], network.name);
  }
});

Deno.test("the language networks take fixed numbers of tokens", () => {
  for (const name of ["gpt2", "gpt2-step", "transformer-iwslt", "llama-3.2-1b"]) {
    const network = MODELS[name]!.build();
    const dims = { B: 2, S: 5, T: 4, P: 3 };
    const graph = network.trace({ weights: randomWeights({ seed: 1 }), dims });
    for (const { node } of graph.outputs) {
      assert.ok(node.type.shape.every((dim) => typeof dim === "number"), name);
    }
  }
});
