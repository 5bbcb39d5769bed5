/**
 * Vision Transformer (Dosovitskiy et al., ICLR 2021) and DeiT (Touvron et al., ICML 2021), which is the same
 * network trained otherwise: patches of an image as the tokens of an encoder. Names are timm's. The variants
 * that its files have are options: pooling by a class token, the mean, the largest or an attention (SigLIP),
 * a second token and head (distilled DeiT), layer-scale (CaiT, DeiT III), register tokens (Darcet et al.,
 * ICLR 2024), tokens without positions, a normalization of the embedding (CLIP), rotary positions (DINOv3),
 * no head. Variants of its blocks are in `vit_blocks.ts`.
 */
import {
  attention,
  concat,
  float,
  gridRotaryTable,
  linear,
  mlp,
  type Model,
  model,
  norm,
  patchEmbedding,
  prependToken,
  residual,
  type Scope,
  type Tensor,
} from "../dsl/mod.ts";
import { layerNorm, type Norm } from "../norms/families.ts";
import type { TransformerSizes } from "./sizes.ts";
import { vitBlock, type VitBlockConfig } from "./vit_blocks.ts";

/** Sizes of a network that classifies a square image by its patches. */
export interface PatchConfig extends TransformerSizes {
  /** Side of the square image, in pixels. */
  readonly image: number;
  /** Side of the square patches, in pixels. */
  readonly patch: number;
  /** Of the head. */
  readonly classes: number;
}

/** Sizes and options of a Vision Transformer. */
export interface VitConfig extends VitBlockConfig, Omit<PatchConfig, "image" | "classes"> {
  /** Side of a square image, or height and width, in pixels. */
  readonly image: number | readonly [height: number, width: number];
  /** Of the head; null where there is none, and what it would read is the output. */
  readonly classes: number | null;
  /** Positions: learned by default, none, or rotations of each head by the place in the image (DINOv3). */
  readonly positions?: "learned" | "none" | { readonly theta: number };
  /** Whether there is a class token, and whether a position is added to it as to the patches. */
  readonly classToken: "placed" | "unplaced" | "none";
  /** Tokens behind the class token, not of the image, and whether they have positions; none by default. */
  readonly registers?: { readonly count: number; readonly placed: boolean };
  /**
   * Whether a second token and a second head stand beside the class token's; logits are the mean of both.
   * `unread` is the token without its head, as transformers' DeiT has it.
   */
  readonly distilled?: boolean | "unread";
  /**
   * What the head reads: the class token, the mean or the maximum of the patches, half of both, what a
   * learned query attends to (`map`, Lee et al. 2019), the class token beside the mean (DINOv2's classifier),
   * or with `none` each token by itself, which without a head is `last_hidden_state`.
   */
  readonly pool: "token" | "mean" | "max" | "avgmax" | "map" | "token-mean" | "none";
  /** Whether class and register tokens are pooled with the patches; false unless said. */
  readonly poolsPrefix?: boolean;
  /** Width inside the MLP behind the attention of `map`. */
  readonly poolHidden?: number;
  /** The last normalization: `tokens`: `norm` before the pooling; `pooled`: `fc_norm` after it; or `none`. */
  readonly lastNorm: "tokens" | "pooled" | "none";
  /** Whether the embedded tokens are normalized, `norm_pre`; their product has no bias then. */
  readonly preNorm?: boolean;
  /** Whether embedded patches are normalized before positions are added, `patch_embed.norm`. */
  readonly patchNorm?: boolean;
  /** Of the embedding's product; true unless said. */
  readonly patchBias?: boolean;
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
  const { patch, channels, depth, heads, classes, classToken, pool, registers } = config;
  const [high, wide] = typeof config.image === "number" ? [config.image, config.image] : config.image;
  // What is left at the edges is not looked at: images of 384x384 have 27x27 patches of 14x14.
  const [height, width] = [Math.floor(high / patch), Math.floor(wide / patch)];
  const classTokens = classToken === "none" ? 0 : config.distilled ? 2 : 1;
  const prefix = classTokens + (registers?.count ?? 0);
  const placed = (classToken === "placed" ? classTokens : 0) + (registers?.placed ? registers.count : 0);
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
      const learned = (config.positions ?? "learned") === "learned";
      const positions = () => p.param("pos_embed", [1, height * width + placed, channels]);
      const register = () => p.param("reg_token", [1, registers!.count, channels]);
      const classed = () => {
        const own = p.param("cls_token", [1, 1, channels]);
        return config.distilled ? prependToken(p.param("dist_token", [1, 1, channels]), own) : own;
      };
      if (config.patchNorm) x = norm(x, p.at("patch_embed.norm"));
      if (learned && placed === 0) x = x.add(positions());
      if (registers?.placed) x = prependToken(x, register());
      if (classToken === "placed") x = prependToken(x, classed());
      if (placed > 0) x = x.add(positions());
      // DINOv2's registers come between a class token that has a position and the patches.
      if (registers && !registers.placed) {
        x = classToken === "placed"
          ? concat([
            x.slice({ axis: 1, end: classTokens }),
            prependToken(x.slice({ axis: 1, start: classTokens }), register()),
          ], { axis: 1 })
          : prependToken(x, register());
      }
      if (classToken === "unplaced") x = prependToken(x, classed());
      if (config.preNorm) x = norm(x, p.at("norm_pre"));

      const rotary = typeof config.positions === "object"
        ? gridRotaryTable({ ...config.positions, grid: [height, width], prefix, size: channels / heads })
        : undefined;
      for (let i = 0; i < depth; i++) {
        x = vitBlock(x, p.at("blocks", i), config, rotary);
      }

      if (config.lastNorm === "tokens") x = norm(x, p.at("norm"));
      if (config.distilled === true) return distilled(x, p, classes);
      if (pool === "none" && classes === null) return { last_hidden_state: x };
      const pooled =
        prefix === 0 || config.poolsPrefix || pool === "token" || pool === "token-mean" || pool === "none"
          ? x
          : x.slice({ axis: 1, start: prefix });
      x = pool === "token-mean"
        ? concat([x.pick({ axis: 1, index: 0 }), average(x.slice({ axis: 1, start: prefix }))], { axis: -1 })
        : POOLING[pool](pooled, p, config);
      if (config.lastNorm === "pooled") x = norm(x, p.at("fc_norm"));
      if (classes === null) return { features: x };
      return { logits: linear(x, p.at("head"), { outputs: classes }) };
    },
  });
}

const average = (x: Tensor) => x.mean({ axes: [1] });

/** `[B, T, C]` to `[B, C]`, or with `none` as it is. */
const POOLING: Readonly<
  Record<Exclude<VitConfig["pool"], "token-mean">, (x: Tensor, p: Scope, config: VitConfig) => Tensor>
> = {
  token: (x) => x.pick({ axis: 1, index: 0 }),
  mean: average,
  max: largest,
  avgmax: (x) => largest(x).add(average(x)).mul(0.5),
  map: (x, p, config) => attended(x, p.at("attn_pool"), config),
  none: (x) => x,
};

/** The maximum over tokens: halves against each other until one token is left; an odd one is in both. */
function largest(x: Tensor): Tensor {
  const tokens = x.shape[1] as number;
  if (tokens === 1) return x.pick({ axis: 1, index: 0 });
  const size = Math.ceil(tokens / 2);
  return largest(x.slice({ axis: 1, size }).maximum(x.slice({ axis: 1, start: tokens - size, size })));
}

/** A learned query attends to all tokens; an MLP stands beside what it finds. */
function attended(memory: Tensor, p: Scope, config: VitConfig): Tensor {
  const { channels, heads, poolHidden = 4 * channels, activation = "gelu" } = config;
  const latent = p.param("latent", [1, 1, channels]).expand([memory.shape[0]!, 1, channels]);
  const x = attention(latent, p, { heads, memory, qkv: ["q", "kv"] });
  const thought = (y: Tensor) => mlp(y, p.at("mlp"), { hidden: poolHidden, activation });
  return residual(x, thought, { norm: p.at("norm") }).pick({ axis: 1, index: 0 });
}

/** Class token and distillation token, each through its own head, and the mean of both. */
function distilled(x: Tensor, p: Scope, classes: number | null): Record<string, Tensor> {
  const own = x.pick({ axis: 1, index: 0 });
  const teacher = x.pick({ axis: 1, index: 1 });
  if (classes === null) return { features: own.add(teacher).mul(0.5) };
  const head = (y: Tensor, name: string) => linear(y, p.at(name), { outputs: classes });
  return { logits: head(own, "head").add(head(teacher, "head_dist")).mul(0.5) };
}
