/**
 * SLAB (Guo et al., ICML 2024): DeiT with simplified linear attention and PRepBN, so that nothing but products, sums and a
 * ReLU is left at inference. It has no class token; the mean of all tokens is classified. Names are those of its code.
 */
import {
  convolution,
  float,
  type Grid,
  gridOf,
  joinHeads,
  linear,
  mlp,
  type Model,
  model,
  norm,
  patchEmbedding,
  residual,
  type Scope,
  splitHeads,
  type Tensor,
} from "../dsl/mod.ts";
import { type Norm, repBatchNorm } from "../norms/families.ts";
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
        const attend = (y: Tensor) => simplifiedLinearAttention(y, b.at("attn"), { heads, grid });
        x = residual(x, attend, { norm: b.at("norm1") });
        x = residual(x, (y) => mlp(y, b.at("mlp"), { hidden }), { norm: b.at("norm2") });
      }
      const pooled = norm(x, p.at("norm")).mean({ axes: [1] });
      return { logits: linear(pooled, p.at("head"), { outputs: classes }) };
    },
  });
}

/**
 * `relu(q) (relu(k)^T v) / (relu(q) . sum relu(k))` and beside it a depthwise convolution of v (equations 7 and 8):
 * `[B, T, C]` to `[B, T, C]`. In fp32 whatever the network's precision, as in the paper's code, for sums over all tokens.
 */
function simplifiedLinearAttention(
  x: Tensor,
  p: Scope,
  { heads, grid }: { heads: number; grid: Grid },
): Tensor {
  const [, tokens] = x.sizes(3);
  const { channels } = x;
  const [query, key, v] = linear(x, p.at("qkv"), { outputs: 3 * channels }).split(3);
  const positioned = key.add(p.param("positional_encoding", [1, tokens as number, channels]));
  const wide = (y: Tensor) => splitHeads(y, { heads }).cast("fp32");
  const [q, k] = [wide(query.relu()), wide(positioned.relu())];
  const attended = q.matmul(k.matmul(wide(v), { transposeA: true }));
  const weights = q.matmul(k.sum({ axes: [2], keepDims: true }), { transposeB: true });
  const mixed = attended.div(weights.add(1e-6)).cast("float");
  const near = neighbours(splitHeads(v, { heads }), p.at("dwc"), grid);
  return linear(joinHeads(mixed.add(near)), p.at("proj"), { outputs: channels });
}

/** A 5x5 depthwise convolution over the grid, its kernels shared by the heads: `[B, H, T, D]` to the same. */
function neighbours(v: Tensor, p: Scope, { height, width }: Grid): Tensor {
  const [batch, heads, tokens] = v.sizes(4);
  const { channels: size } = v;
  const maps = v.transpose([0, 1, 3, 2]).reshape([-1, size, height, width]);
  const local = convolution(maps, p, { outputs: size, kernel: 5, padding: 2, groups: size });
  return local.reshape([batch, heads, size, tokens]).transpose([0, 1, 3, 2]);
}
