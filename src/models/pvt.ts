/**
 * Pyramid Vision Transformer (Wang et al., ICCV 2021): four stages of ever smaller maps, in whose attention a
 * strided convolution leaves fewer keys and values. And SLAB's (Guo et al., ICML 2024), without a class token
 * and without a normalization in front of the head, whose attention may be its simplified linear one. Names
 * are those of both papers' code.
 */
import {
  type Activation,
  attention,
  float,
  type Grid,
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
  tokensToMap,
} from "../dsl/mod.ts";
import { UnfoldError } from "../errors.ts";
import { layerNorm, type Norm, repBatchNorm } from "../norms/families.ts";
import { linearMix } from "./linear_attention.ts";

/** Sizes of a stage. */
export interface PvtStage {
  /** Side of its square patches: pixels in the first stage, tokens of the one before in the others. */
  readonly patch: number;
  /** C. */
  readonly channels: number;
  /** Blocks. */
  readonly depth: number;
  /** H. */
  readonly heads: number;
  /** Channels between the two products of an MLP. */
  readonly hidden: number;
  /** Side of the square of tokens of which keys and values are made; 1 for all tokens as they are. */
  readonly reduction: number;
  /** Kernel side of the depthwise convolution in simplified linear attention; null for softmax. */
  readonly kernel: number | null;
}

/** Sizes and options of a PVT. */
export interface PvtConfig {
  /** Names the output folder. */
  readonly name: string;
  /** Pixels; what patches leave at the edges is not looked at. */
  readonly image: readonly [height: number, width: number];
  /** One after the other. */
  readonly stages: readonly PvtStage[];
  /** Whether the head reads a class token of the last stage rather than the mean of its tokens. */
  readonly classToken: boolean;
  /** Whether what is classified is normalized. */
  readonly lastNorm: boolean;
  /** Whether queries, keys and values have biases. */
  readonly qkvBias: boolean;
  /** In the MLPs; exact GELU unless said. */
  readonly activation?: Activation;
  /** null for the features, without a head. */
  readonly classes: number | null;
}

/** Of the widths in table 1, which are SLAB's, too. */
function stages(
  depths: readonly number[],
  { reductions, kernel }: { reductions: readonly number[]; kernel: number | null },
): PvtStage[] {
  const [channels, hidden] = [[64, 128, 320, 512], [512, 1024, 1280, 2048]];
  return depths.map((depth, i) => ({
    patch: i === 0 ? 4 : 2,
    channels: channels[i]!,
    depth,
    heads: channels[i]! / 64,
    hidden: hidden[i]!,
    reduction: reductions[i]!,
    kernel,
  }));
}

/** PVT-Tiny (table 1): 13.2 million parameters. */
export const PVT_TINY: PvtConfig = {
  name: "pvt-tiny",
  image: [224, 224],
  stages: stages([2, 2, 2, 2], { reductions: [8, 4, 2, 1], kernel: null }),
  classToken: true,
  lastNorm: true,
  qkvBias: true,
  classes: 1000,
};

/** SLAB-PVT-T: linear attention in every stage, to all tokens, as its configuration has it. */
export const SLAB_PVT_TINY: PvtConfig = {
  ...PVT_TINY,
  name: "slab-pvt-tiny",
  stages: stages([2, 2, 2, 2], { reductions: [1, 1, 1, 1], kernel: 5 }),
  classToken: false,
  lastNorm: false,
};

/**
 * `images [B, 3, H, W]` to `logits [B, classes]`, or without a head to `features [B, C]`; with the
 * normalization of PVT's own paper unless said, or of SLAB's where there is linear attention.
 *
 * @throws {UnfoldError} a class token in a stage that makes a map of its tokens
 */
export function pvt(config: PvtConfig, options: { norm?: Norm } = {}): Model {
  const isLinear = config.stages.some(({ kernel }) => kernel !== null);
  const { norm: family = isLinear ? repBatchNorm() : layerNorm({ epsilon: 1e-6 }) } = options;
  const last = config.stages.at(-1)!;
  if (config.classToken && (last.reduction > 1 || last.kernel !== null)) {
    throw new UnfoldError(
      `${config.name}: a class token is beside the map of tokens that the last stage's attention is to convolve`,
    );
  }
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, ...config.image]) },
    norm: family,
    reference: layerNorm({ epsilon: 1e-6 }),
    forward({ images }, p) {
      let map = images;
      let x = images;
      config.stages.forEach((stage, i) => {
        const [, , height, width] = map.shape as readonly number[];
        const grid = {
          height: Math.floor(height! / stage.patch),
          width: Math.floor(width! / stage.patch),
        };
        x = pvtStage(map, p, { ...config, ...stage, grid, number: i + 1, isLast: stage === last });
        if (stage !== last) map = tokensToMap(x, grid);
      });
      if (config.lastNorm) x = norm(x, p.at("norm"));
      const pooled = config.classToken ? x.pick({ axis: 1, index: 0 }) : x.mean({ axes: [1] });
      if (config.classes === null) return { features: pooled };
      return { logits: linear(pooled, p.at("head"), { outputs: config.classes }) };
    },
  });
}

type StageOptions = PvtStage & Pick<PvtConfig, "classToken" | "qkvBias" | "activation"> & {
  readonly grid: Grid;
  /** From 1, as in the names. */
  readonly number: number;
  readonly isLast: boolean;
};

/** Patches of a map and the blocks over them (figure 3): `[B, c, H, W]` to `[B, T, C]`. */
function pvtStage(map: Tensor, p: Scope, options: StageOptions): Tensor {
  const { patch, channels, depth, hidden, classToken, activation = "gelu", grid, number, isLast } = options;
  const embed = p.at(`patch_embed${number}`);
  let x = norm(patchEmbedding(map, embed.at("proj"), { patch, channels }), embed.at("norm"));
  const hasToken = classToken && isLast;
  if (hasToken) x = prependToken(x, p.param("cls_token", [1, 1, channels]));
  const positions = grid.height * grid.width + (hasToken ? 1 : 0);
  x = x.add(p.param(`pos_embed${number}`, [1, positions, channels]));
  for (let i = 0; i < depth; i++) {
    const b = p.at(`block${number}`, i);
    x = residual(x, (y) => reducedAttention(y, b.at("attn"), options), { norm: b.at("norm1") });
    x = residual(x, (y) => mlp(y, b.at("mlp"), { hidden, activation }), { norm: b.at("norm2") });
  }
  return x;
}

/** Attention to keys and values of a smaller map (equations 1 to 4): `[B, T, C]` to the same. */
function reducedAttention(
  x: Tensor,
  p: Scope,
  { channels, heads, reduction, kernel, grid, qkvBias: bias }: StageOptions,
): Tensor {
  const memory = reduction === 1
    ? x
    : norm(patchEmbedding(tokensToMap(x, grid), p.at("sr"), { patch: reduction, channels }), p.at("norm"));
  if (kernel === null) return attention(x, p, { heads, memory, qkv: ["q", "kv"], qkvBias: bias });
  const q = linear(x, p.at("q"), { outputs: channels, bias });
  const [k, v] = linear(memory, p.at("kv"), { outputs: 2 * channels, bias }).split(2);
  return linear(linearMix({ q, k, v }, p, { heads, grid, kernel }), p.at("proj"), { outputs: channels });
}
