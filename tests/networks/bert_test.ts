/**
 * BERT against Hugging Face's own, with LayerNorm and with offline normalizations in its place, imported
 * through its checkpoint format. Bound of fp16: float16 rounds to 5e-4, and what is measured is a few
 * roundings of the largest channel.
 */
import assert from "node:assert/strict";
import { bert, type BertConfig } from "../../src/models/bert.ts";
import { checkParity, imported } from "./parity.ts";

const FP16 = 4e-3;

/** The fixtures' sizes. */
const SMALL: BertConfig = {
  vocabulary: 50,
  positions: 12,
  segments: 2,
  channels: 32,
  layers: 2,
  heads: 4,
  hidden: 48,
  epsilon: 1e-12,
};

/** One normalization of the embeddings, two in each layer; the masked language model has one layer. */
for (
  const [name, layers, family, remaining] of [
    ["bert_hf", 2, "ln", 5],
    ["bert_hf_masked_lm", 1, "ln", 3],
    ["bert_hf_un", 2, "un", 0],
    ["bert_hf_bn", 2, "bn", 0],
  ] as const
) {
  Deno.test(`bert() computes what transformers does: ${name}`, async () => {
    const { format, model, weights } = imported(name);
    assert.deepEqual([format, model.norm.family], ["Hugging Face BERT or RoBERTa", family]);
    await checkParity({ fixture: name, model, weights, remaining, fp16: FP16 });
    // The mean over tokens cannot take in the last normalization, nor can an output.
    const pooled = bert({ ...SMALL, layers }, { pooling: "mean", norm: model.norm });
    await checkParity({ fixture: name, run: "pooled", model: pooled, weights, remaining, fp16: FP16 });
  });
}

Deno.test("bert() takes the segment of each token where asked to", async () => {
  const { weights } = imported("bert_hf");
  const model = bert(SMALL, { tokenTypes: true });
  await checkParity({ fixture: "bert_hf", run: "types", model, weights, remaining: 5, fp16: FP16 });
});
