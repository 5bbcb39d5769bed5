/**
 * Vision Transformer (Dosovitskiy et al., ICLR 2021) and DeiT (Touvron et al., ICML 2021), which is the same network trained
 * otherwise: patches of an image as the tokens of an encoder. Names are timm's. The variants that its files have are
 * options: pooling by a class token or by the mean, layer-scale (CaiT, DeiT III), a class token without a position.
 */
import {
  add,
  block,
  float,
  gridOf,
  linear,
  mean,
  type Model,
  model,
  norm,
  patchEmbedding,
  pick,
  prependToken,
  slice,
} from "../dsl/mod.ts";
import { layerNorm, type Norm } from "../norms/mod.ts";

/** Sizes of a network that classifies a square image by its patches. */
export interface PatchConfig {
  readonly name: string;
  /** Side of the square image, in pixels. */
  readonly image: number;
  readonly patch: number;
  readonly channels: number;
  readonly depth: number;
  readonly heads: number;
  /** Width inside the MLP. */
  readonly hidden: number;
  readonly classes: number;
}

export interface VitConfig extends PatchConfig {
  readonly qkvBias: boolean;
  /** Whether there is a class token, and whether a position is added to it as to the patches. */
  readonly classToken: "placed" | "unplaced" | "none";
  /** What the head reads: the class token, or the mean of the patches. */
  readonly pool: "token" | "mean";
  /** Where the last normalization stands: `tokens` `norm` in front of the pooling, `pooled` `fc_norm` behind it. */
  readonly lastNorm: "tokens" | "pooled";
  readonly layerScale: boolean;
}

/** ViT-B/16 (table 1 of the ViT paper). */
export const VIT_B16: VitConfig = {
  name: "vit-b16",
  image: 224,
  patch: 16,
  channels: 768,
  depth: 12,
  heads: 12,
  hidden: 3072,
  classes: 1000,
  qkvBias: true,
  classToken: "placed",
  pool: "token",
  lastNorm: "tokens",
  layerScale: false,
};

/** DeiT-S (table 1 of the DeiT paper). */
export const DEIT_S: VitConfig = { ...VIT_B16, name: "deit-s", channels: 384, heads: 6, hidden: 1536 };
/** DeiT-Ti. */
export const DEIT_TI: VitConfig = { ...VIT_B16, name: "deit-ti", channels: 192, heads: 3, hidden: 768 };

/** Both papers' code adds 1e-6 to the variance. */
const EPSILON = 1e-6;

/** `images [B, 3, H, W]` to `logits [B, classes]`. */
export function vit(
  config: VitConfig,
  { norm: family = layerNorm({ epsilon: EPSILON }) }: { norm?: Norm } = {},
): Model {
  const { image, patch, channels, depth, heads, hidden, classes, qkvBias, classToken, pool } = config;
  const { height, width } = gridOf([image, image], patch);
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, image, image]) },
    norm: family,
    reference: layerNorm({ epsilon: EPSILON }),
    forward({ images }, p) {
      let x = patchEmbedding(images, p.at("patch_embed.proj"), { patch, channels });
      const positions = p.param("pos_embed", [
        1,
        height * width + (classToken === "placed" ? 1 : 0),
        channels,
      ]);
      if (classToken !== "placed") x = add(x, positions);
      if (classToken !== "none") x = prependToken(x, p.param("cls_token", [1, 1, channels]));
      if (classToken === "placed") x = add(x, positions);

      for (let i = 0; i < depth; i++) {
        x = block(x, p.at("blocks", i), { heads, qkvBias, mlp: { hidden }, layerScale: config.layerScale });
      }

      if (config.lastNorm === "tokens") x = norm(x, p.at("norm"));
      if (pool === "token") x = pick(x, { axis: 1, index: 0 });
      else x = mean(classToken === "none" ? x : slice(x, { axis: 1, start: 1 }), { axes: [1] });
      if (config.lastNorm === "pooled") x = norm(x, p.at("fc_norm"));
      return { logits: linear(x, p.at("head"), { outputs: classes }) };
    },
  });
}
