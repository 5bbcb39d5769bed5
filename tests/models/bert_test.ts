/**
 * Tests of BERT's page: sizes, and that folding leaves nothing; that it computes what PyTorch does is in
 * `networks/`.
 */
import assert from "node:assert/strict";
import { compile } from "../../src/compile/networks.ts";
import { elementCount } from "../../src/ir/data.ts";
import { bert, BERT_BASE, type BertConfig, MINILM_L6 } from "../../src/models/bert.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { remainingNorms } from "../../src/rewrite/pipeline.ts";
import { randomWeights } from "../../src/weights/mod.ts";

Deno.test("bert() has as many parameters as the published networks without their poolers", () => {
  const count = (config: BertConfig) => {
    const sizes = new Map<string, number>();
    const random = randomWeights({ seed: 1 });
    bert(config).trace({
      weights: {
        ...random,
        unused: () => [],
        take: (name, shape, hint) => {
          sizes.set(name, elementCount(shape));
          return random.take(name, shape, hint);
        },
      },
    });
    return [...sizes.values()].reduce((sum, size) => sum + size, 0);
  };
  // transformers' BertModel(config, add_pooling_layer=False).num_parameters()
  assert.equal(count(BERT_BASE), 108_891_648);
  assert.equal(count(MINILM_L6), 22_565_376);
});

Deno.test("bert() at MiniLM's size folds to nothing with Unified Normalization", () => {
  for (const pooling of [undefined, "mean"] as const) {
    const { graph, norms } = compile(bert(MINILM_L6, { norm: unifiedNorm(), ...(pooling && { pooling }) }), {
      weights: randomWeights({ seed: 1 }),
    });
    assert.equal(norms.length, 13);
    assert.equal(remainingNorms(graph), 0);
  }
});
