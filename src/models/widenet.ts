/**
 * WideNet (Xue et al. 2021, "Go Wider Instead of Deeper"): a Vision Transformer whose layers all have the
 * weights of one layer, while each depth has normalizations of its own, which is what lets it tell them
 * apart. The dense form: the paper's mixture of experts is left out. Folding gives each depth a QKV and a
 * first MLP product of its own, since these take the normalizations in; the other two stay shared. So a
 * folded WideNet is faster and larger.
 */
import {
  attention,
  float,
  linear,
  mlp,
  type Model,
  model,
  norm,
  patchEmbedding,
  prependToken,
  residual,
} from "../dsl/mod.ts";
import { layerNorm, type Norm } from "../norms/families.ts";
import type { PatchConfig } from "./vit.ts";

/** The sizes of WideNet-B, which are those of ViT-B/16; `depth` is how often the one layer is applied. */
export const WIDENET_B: PatchConfig = {
  name: "widenet",
  image: 224,
  patch: 16,
  channels: 768,
  depth: 12,
  heads: 12,
  hidden: 3072,
  classes: 1000,
};

/** An image `[B, 3, H, W]` to `logits [B, classes]`. */
export function wideNet(config: PatchConfig, { norm: family = layerNorm() }: { norm?: Norm } = {}): Model {
  const { image: side, patch, channels, depth, heads, hidden, classes } = config;
  return model({
    name: config.name,
    inputs: { image: float(["B", 3, side, side]) },
    norm: family,
    forward({ image }, p) {
      const tokens = (side / patch) ** 2 + 1;
      const patches = patchEmbedding(image, p.at("patch_embed", "proj"), { patch, channels });
      let x = prependToken(patches, p.param("cls_token", [1, 1, channels]))
        .add(p.param("pos_embed", [1, tokens, channels]));
      for (let i = 0; i < depth; i++) {
        x = residual(x, (y) => attention(y, p.at("attn"), { heads }), { norm: p.at("norms", i, "norm1") });
        x = residual(x, (y) => mlp(y, p.at("mlp"), { hidden }), { norm: p.at("norms", i, "norm2") });
      }
      const first = norm(x, p.at("norm")).pick({ axis: 1, index: 0 });
      return { logits: linear(first, p.at("head"), { outputs: classes }) };
    },
  });
}
