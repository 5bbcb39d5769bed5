/**
 * The towers of CLIP (Radford et al., ICML 2021) and of SigLIP (Zhai et al., ICCV 2023): an encoder of images
 * and one of texts, whose embeddings are compared. CLIP's text tower is causal and read at the token that
 * ends the text, its image tower at a class token; SigLIP's text tower is read at its last token, its image
 * tower by attention with a learned query. Names are those of Hugging Face's transformers. Leaves out the
 * comparison, a product of the two embeddings.
 */
import {
  type Activation,
  attention,
  embedding,
  endToken,
  float,
  gridOf,
  ids,
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

/** What both towers have. */
export interface TowerConfig extends TransformerSizes {
  /** Whose towers: CLIP's or SigLIP's. */
  readonly family: "clip" | "siglip";
  /** In the MLPs. */
  readonly activation: Activation;
  /** Channels of the embedding that is compared, the only output then, or null: CLIP's projection. */
  readonly projection: number | null;
}

/** Sizes of a tower for images. */
export interface ImageTowerConfig extends TowerConfig {
  /** Height and width in pixels. */
  readonly image: readonly [height: number, width: number];
  /** Side of the square patches, in pixels. */
  readonly patch: number;
  /** Of a classifier of the mean of the patches, whose logits are the only output then, or null. */
  readonly classes: number | null;
  /** SigLIP's query; a file may be without it. */
  readonly pooled: boolean;
}

/** Sizes of a tower for texts. */
export interface TextTowerConfig extends TowerConfig {
  /** Entries of the vocabulary. */
  readonly vocabulary: number;
  /** Tokens of the longest text; of SigLIP each text is filled up to so many, as it was trained. */
  readonly positions: number;
  /** What ends CLIP's texts: an id, or whatever id is the largest; SigLIP's end where they end. */
  readonly end: number | "largest" | null;
  /** Channels of SigLIP's last product. */
  readonly head: number | null;
}

/** CLIP ViT-B/32's image tower: 87 million parameters. */
export const CLIP_VIT_B32: ImageTowerConfig = {
  name: "clip-vit-b32",
  family: "clip",
  image: [224, 224],
  patch: 32,
  channels: 768,
  depth: 12,
  heads: 12,
  hidden: 3072,
  activation: "quick_gelu",
  projection: 512,
  classes: null,
  pooled: true,
};

/** Its text tower: 63 million parameters. */
export const CLIP_TEXT_B32: TextTowerConfig = {
  name: "clip-text-b32",
  family: "clip",
  vocabulary: 49408,
  positions: 77,
  channels: 512,
  depth: 12,
  heads: 8,
  hidden: 2048,
  activation: "quick_gelu",
  projection: 512,
  end: 49407,
  head: null,
};

const EPSILON = { clip: 1e-5, siglip: 1e-6 } as const;

/**
 * `images [B, 3, H, W]` to `image_embeds [B, projection]`, to `logits [B, classes]`, or to
 * `last_hidden_state [B, T, C]` and `pooler_output [B, C]`.
 */
export function imageTower(config: ImageTowerConfig, options: { norm?: Norm } = {}): Model {
  const { family, image, patch, channels, projection, classes } = config;
  const [height, width] = image;
  const grid = gridOf(image, patch);
  const clip = family === "clip";
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, height, width]) },
    norm: options.norm ?? layerNorm({ epsilon: EPSILON[family] }),
    reference: layerNorm({ epsilon: EPSILON[family] }),
    forward({ images }, p) {
      const embed = p.at("embeddings");
      let x = patchEmbedding(images, embed.at("patch_embedding"), { patch, channels, bias: !clip });
      if (clip) x = prependToken(x, embed.param("class_embedding", [channels]).reshape([1, 1, channels]));
      const tokens = grid.height * grid.width + (clip ? 1 : 0);
      x = x.add(embed.param("position_embedding.weight", [tokens, channels]));
      if (clip) x = norm(x, p.at("pre_layrnorm"));
      for (let i = 0; i < config.depth; i++) x = layer(x, p.at("encoder.layers", i), config);
      if (!clip) x = norm(x, p.at("post_layernorm"));
      if (classes !== null) {
        const patches = clip ? x.slice({ axis: 1, start: 1 }) : x;
        return { logits: linear(patches.mean({ axes: [1] }), p.at("classifier"), { outputs: classes }) };
      }
      if (!config.pooled) return { last_hidden_state: x };
      const pooled = clip
        ? norm(x.pick({ axis: 1, index: 0 }), p.at("post_layernorm"))
        : attended(x, p.at("head"), config);
      return outputs(x, pooled, { projection, p, name: "image" });
    },
  });
}

/** `input_ids [B, T]` to `text_embeds [B, projection]`, or `last_hidden_state` and `pooler_output`. */
export function textTower(config: TextTowerConfig, options: { norm?: Norm } = {}): Model {
  const { family, vocabulary, positions, channels, end, projection } = config;
  const clip = family === "clip";
  return model({
    name: config.name,
    inputs: { input_ids: ids(["B", clip ? "T" : positions]) },
    ...clip && { dims: { T: { min: 1, opt: positions, max: positions } } },
    norm: options.norm ?? layerNorm({ epsilon: EPSILON[family] }),
    reference: layerNorm({ epsilon: EPSILON[family] }),
    forward({ input_ids }, p) {
      const embed = p.at("embeddings");
      const table = embed.param("position_embedding.weight", [positions, channels]);
      let x = embedding(input_ids, embed.at("token_embedding"), { entries: vocabulary, channels })
        .add(table.slice({ axis: 0, size: input_ids.shape[1]! }));
      for (let i = 0; i < config.depth; i++) {
        x = layer(x, p.at("encoder.layers", i), { ...config, causal: clip });
      }
      x = norm(x, p.at("final_layer_norm"));
      const last = end === null
        ? x.pick({ axis: 1, index: -1 })
        : endToken({ x, ids: input_ids }, { end, length: positions });
      const pooled = config.head === null ? last : linear(last, p.at("head"), { outputs: config.head });
      return outputs(x, pooled, { projection, p, name: "text" });
    },
  });
}

const PROJECTIONS = { qkv: ["q_proj", "k_proj", "v_proj"], out: "out_proj" } as const;

function layer(
  x: Tensor,
  p: Scope,
  { heads, hidden, activation, causal = false }: TowerConfig & { readonly causal?: boolean },
): Tensor {
  const mixed = (y: Tensor) => attention(y, p.at("self_attn"), { heads, causal, ...PROJECTIONS });
  x = residual(x, mixed, { norm: p.at("layer_norm1") });
  const thought = (y: Tensor) => mlp(y, p.at("mlp"), { hidden, activation });
  return residual(x, thought, { norm: p.at("layer_norm2") });
}

/** SigLIP's pooling (Lee et al. 2019, Set Transformer): a learned query over all tokens, then an MLP. */
function attended(memory: Tensor, p: Scope, { channels, heads, hidden, activation }: TowerConfig): Tensor {
  const query = p.param("probe", [1, 1, channels]).expand([memory.shape[0]!, 1, channels]);
  const x = attention(query, p.at("attention"), { heads, memory, ...PROJECTIONS });
  const thought = (y: Tensor) => mlp(y, p.at("mlp"), { hidden, activation });
  return residual(x, thought, { norm: p.at("layernorm") }).pick({ axis: 1, index: 0 });
}

function outputs(
  x: Tensor,
  pooled: Tensor,
  { projection, p, name }: { projection: number | null; p: Scope; name: "image" | "text" },
): Record<string, Tensor> {
  if (projection === null) return { last_hidden_state: x, pooler_output: pooled };
  const scope = p.at(name === "image" ? "visual_projection" : "text_projection");
  return { [`${name}_embeds`]: linear(pooled, scope, { outputs: projection, bias: false }) };
}
