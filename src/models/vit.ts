/**
 * Vision Transformer (Dosovitskiy et al., ICLR 2021) and DeiT (Touvron et al., ICML 2021), which is the same network trained
 * otherwise: patches of an image as the tokens of an encoder. Names are timm's. The variants that its files have are
 * options: pooling by a class token or by the mean, layer-scale (CaiT, DeiT III), register tokens (Darcet et al., ICLR
 * 2024), tokens without positions, a normalization of the embedding (CLIP), other activations, no head.
 */
import {
  ACTIVATION,
  type Activation,
  add,
  block,
  concat,
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

export interface VitConfig extends Omit<PatchConfig, "image" | "classes"> {
  /** Side of a square image, or height and width, in pixels. */
  readonly image: number | readonly [height: number, width: number];
  /** Of the head; null where there is none, and what it would read is the output. */
  readonly classes: number | null;
  readonly qkvBias: boolean;
  /** Whether there is a class token, and whether a position is added to it as to the patches. */
  readonly classToken: "placed" | "unplaced" | "none";
  /** Tokens behind the class token that hold nothing of the image, and whether they have positions; none unless said. */
  readonly registers?: { readonly count: number; readonly placed: boolean };
  /** What the head reads: the class token, or the mean of the patches; `none` gives all tokens, `last_hidden_state`. */
  readonly pool: "token" | "mean" | "none";
  /**
   * Where the last normalization stands: `tokens` `norm` in front of the pooling, `pooled` `fc_norm` behind it, or
   * `none`.
   */
  readonly lastNorm: "tokens" | "pooled" | "none";
  readonly layerScale: boolean;
  /** Whether the embedded tokens are normalized, `norm_pre`; their product has no bias then. */
  readonly preNorm?: boolean;
  /** Of the embedding's product; true unless said. */
  readonly patchBias?: boolean;
  /** Of the attention's output; true unless said. */
  readonly projBias?: boolean;
  /** In the MLP; exact GELU unless said. */
  readonly activation?: Activation;
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

/** `images [B, 3, H, W]` to `logits [B, classes]`, or without a head to `features [B, channels]`. */
export function vit(
  config: VitConfig,
  { norm: family = layerNorm({ epsilon: EPSILON }) }: { norm?: Norm } = {},
): Model {
  const { patch, channels, depth, heads, hidden, classes, qkvBias, classToken, pool, registers } = config;
  const [high, wide] = typeof config.image === "number" ? [config.image, config.image] : config.image;
  const { height, width } = gridOf([high, wide], patch);
  const prefix = (classToken === "none" ? 0 : 1) + (registers?.count ?? 0);
  const placed = (classToken === "placed" ? 1 : 0) + (registers?.placed ? registers.count : 0);
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, high, wide]) },
    norm: family,
    reference: layerNorm({ epsilon: EPSILON }),
    forward({ images }, p) {
      let x = patchEmbedding(images, p.at("patch_embed.proj"), {
        patch,
        channels,
        bias: config.patchBias ?? true,
      });
      const positions = p.param("pos_embed", [1, height * width + placed, channels]);
      const register = () => p.param("reg_token", [1, registers!.count, channels]);
      const classed = () => p.param("cls_token", [1, 1, channels]);
      if (placed === 0) x = add(x, positions);
      if (registers?.placed) x = prependToken(x, register());
      if (classToken === "placed") x = prependToken(x, classed());
      if (placed > 0) x = add(x, positions);
      // DINOv2's registers come between a class token that has a position and the patches.
      if (registers && !registers.placed) {
        x = classToken === "placed"
          ? concat([
            slice(x, { axis: 1, end: 1 }),
            prependToken(slice(x, { axis: 1, start: 1 }), register()),
          ], { axis: 1 })
          : prependToken(x, register());
      }
      if (classToken === "unplaced") x = prependToken(x, classed());
      if (config.preNorm) x = norm(x, p.at("norm_pre"));

      for (let i = 0; i < depth; i++) {
        x = block(x, p.at("blocks", i), {
          heads,
          qkvBias,
          outBias: config.projBias ?? true,
          mlp: { hidden, activation: ACTIVATION[config.activation ?? "gelu"] },
          layerScale: config.layerScale,
        });
      }

      if (config.lastNorm === "tokens") x = norm(x, p.at("norm"));
      if (pool === "none") return { last_hidden_state: x };
      if (pool === "token") x = pick(x, { axis: 1, index: 0 });
      else x = mean(prefix === 0 ? x : slice(x, { axis: 1, start: prefix }), { axes: [1] });
      if (config.lastNorm === "pooled") x = norm(x, p.at("fc_norm"));
      if (classes === null) return { features: x };
      return { logits: linear(x, p.at("head"), { outputs: classes }) };
    },
  });
}
