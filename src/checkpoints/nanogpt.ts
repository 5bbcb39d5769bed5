/**
 * GPT-2 as nanoGPT's trainer saves it: the names of Hugging Face's, with the products stored `[out, in]` as PyTorch's
 * Linear has them, an exact GELU, and biases everywhere or nowhere. The wrapper's `model_args` have the heads.
 */
import { gpt2, type Gpt2Config } from "../models/gpt2.ts";
import { ACTIVATION, EPSILON, HEADS, NORMALIZATION, TIED_HEAD } from "./common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "./define.ts";
import { HEAD, headOf, MODE, notRead, prefixOf } from "./hf_gpt2.ts";
import { normOf } from "./norms.ts";
import { headsOf, headsOf64, layersIn, requireSizes } from "./sizes.ts";

export const nanoGpt: CheckpointFormat = {
  name: "nanoGPT",
  signature: [
    /^(transformer\.)?wte\.weight$/,
    /^(transformer\.)?wpe\.weight$/,
    /^(transformer\.)?h\.0\.attn\.c_attn\.weight$/,
    /^(transformer\.)?h\.0\.mlp\.c_fc\.weight$/,
  ],
  holds: (file) => {
    const [rows, columns] = file.shapeOf(
      file.names().find((name) => /h\.0\.attn\.c_attn\.weight$/.test(name))!,
    );
    return rows === 3 * columns!;
  },
  settings: [HEADS, ACTIVATION, EPSILON, MODE, HEAD, TIED_HEAD, NORMALIZATION],
  read(file, settle) {
    const prefix = prefixOf(file);
    const config = configOf(file, settle, prefix);
    const norm = normOf(file, settle, {
      scopes: /(^|\.)ln_(1|2|f)$/,
      groups: 1,
      published: {
        epsilon: { value: 1e-5, why: "nanoGPT's own" },
        normalization: { value: "ln", why: "nanoGPT's LayerNorm may have no bias" },
      },
    });
    return {
      model: gpt2(config, { norm }),
      locate: (parameter) => parameter.startsWith("lm_head.") ? parameter : prefix + parameter,
      ignored: notRead(config),
    };
  },
};

function configOf(file: CheckpointView, settle: Settle, prefix: string): Gpt2Config {
  const mode = settle(MODE, { published: { value: "plain", why: "unless --mode says" } });
  const [vocabulary, channels] = file.shapeOf(`${prefix}wte.weight`) as [number, number];
  const context = file.shapeOf(`${prefix}wpe.weight`)[0]!;
  const depth = layersIn(file, /^(?:transformer\.)?h\.(\d+)\./);
  requireSizes(file, { n_embd: channels, n_layer: depth, vocab_size: vocabulary, block_size: context });
  return {
    name: mode === "plain" ? "gpt2" : `gpt2-${mode}`,
    mode,
    vocabulary,
    context,
    channels,
    depth,
    heads: headsOf(settle, {
      channels,
      assumed: [768, 1024, 1280, 1600].includes(channels) ? headsOf64(channels) : undefined,
    }),
    hidden: file.shapeOf(`${prefix}h.0.mlp.c_fc.weight`)[0]!,
    bias: file.has(`${prefix}h.0.attn.c_attn.bias`),
    activation: settle(ACTIVATION, {
      assumed: { value: "gelu", why: "nanoGPT's since 2023; before, gelu_tanh. Nothing in the file says" },
    }),
    ...headOf(file, settle),
  };
}
