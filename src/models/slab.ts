/**
 * SLAB (Guo et al., ICML 2024): DeiT with simplified linear attention and PRepBN, so that nothing but
 * products, sums and a ReLU is left at inference. It has no class token; the mean of all tokens is
 * classified. Names are those of its code.
 */
import { float, gridOf, linear, mlp, type Model, model, norm, patchEmbedding, residual } from "../dsl/mod.ts";
import { type Norm, repBatchNorm } from "../norms/families.ts";
import { simplifiedLinearAttention } from "./linear_attention.ts";
import type { PatchConfig } from "./vit.ts";

/** SLAB-DeiT-T (table 2). */
export const SLAB_DEIT_TI: PatchConfig = {
  name: "slab-deit-ti",
  image: 224,
  patch: 16,
  channels: 192,
  depth: 12,
  heads: 3,
  hidden: 768,
  classes: 1000,
};

/** `images [B, 3, H, W]` to `logits [B, classes]`. */
export function slabDeit(
  config: PatchConfig,
  { norm: family = repBatchNorm() }: { norm?: Norm } = {},
): Model {
  const { image, patch, channels, depth, heads, hidden, classes } = config;
  const grid = gridOf([image, image], patch);
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, image, image]) },
    norm: family,
    forward({ images }, p) {
      let x = patchEmbedding(images, p.at("patch_embed.proj"), { patch, channels });
      x = x.add(p.param("pos_embed", [1, grid.height * grid.width, channels]));
      for (let i = 0; i < depth; i++) {
        const b = p.at("blocks", i);
        x = residual(x, (y) => simplifiedLinearAttention(y, b.at("attn"), { heads, grid, kernel: 5 }), {
          norm: b.at("norm1"),
        });
        x = residual(x, (y) => mlp(y, b.at("mlp"), { hidden }), { norm: b.at("norm2") });
      }
      const pooled = norm(x, p.at("norm")).mean({ axes: [1] });
      return { logits: linear(pooled, p.at("head"), { outputs: classes }) };
    },
  });
}
