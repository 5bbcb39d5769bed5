/**
 * A small vision Transformer that reads handwritten digits, trained with Unified Normalization by `train.py`.
 *
 *     deno task build-engine examples/digits/digits.ts
 */
import { block, float, linear, model, norm, patchEmbedding, prependToken, unifiedNorm } from "../../mod.ts";

const depth = 4;
const heads = 4;
const channels = 64;
const hidden = 256;
const tokens = 1 + 4 * 4;

const here = (file: string) => new URL(file, import.meta.url);

export default model({
  name: "digits",
  inputs: { images: float(["B", 1, 8, 8]) },
  norm: unifiedNorm(),
  weights: { un: here("un.safetensors"), ln: here("ln.safetensors") },
  evaluation: {
    file: here("heldout.safetensors"),
    inputs: { images: "images" },
    labels: "labels",
    logits: { un: "logits.un", ln: "logits.ln" },
  },

  forward({ images }, p) {
    const patches = patchEmbedding(images, p.at("patch_embed.proj"), { patch: 2, channels });
    let x = prependToken(patches, p.param("cls_token", [1, 1, channels]))
      .add(p.param("pos_embed", [1, tokens, channels]));

    for (let i = 0; i < depth; i++) {
      x = block(x, p.at("blocks", i), { heads, qkvBias: false, mlp: { hidden } });
    }

    const digit = norm(x, p.at("norm")).pick({ axis: 1, index: 0 });
    return { logits: linear(digit, p.at("head"), { outputs: 10 }) };
  },
});
