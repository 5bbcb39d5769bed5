/**
 * CSWin Transformer (Dong et al., CVPR 2022): attention within stripes, across the image for one half of the
 * heads and down it for the other, with a depthwise convolution of the values for positions (LePE); stages
 * begin with a strided convolution. And SLAB's (Guo et al., ICML 2024), whose first blocks have simplified
 * linear attention in stripes of their own. Names are those of both papers' code.
 */
import {
  type Activation,
  concat,
  convolution,
  float,
  type Grid,
  gridOf,
  joinHeads,
  linear,
  mapToTokens,
  mlp,
  type Model,
  model,
  norm,
  residual,
  scaledDotProductAttention,
  type Scope,
  splitHeads,
  type Tensor,
  tokensToMap,
} from "../dsl/mod.ts";
import { UnfoldError } from "../errors.ts";
import { layerNorm, type Norm, repBatchNorm } from "../norms/families.ts";
import { linearMix } from "./linear_attention.ts";

/** SLAB's simplified linear attention in a stage. */
export interface CswinLinear {
  /** How many of the stage's first blocks have it. */
  readonly blocks: number;
  /** Width of a stripe, in tokens. */
  readonly split: number;
  /** Side of the kernel of the depthwise convolution of each head. */
  readonly kernel: number;
}

/** Sizes of a stage. */
export interface CswinStage {
  /** Blocks. */
  readonly depth: number;
  /** H: half of them for each direction, or all for the whole image. */
  readonly heads: number;
  /** Width of a stripe, in tokens; the side of the map for attention to the whole image. */
  readonly split: number;
  /** The first blocks with simplified linear attention, if any. */
  readonly linear?: CswinLinear | undefined;
}

/** Sizes and options of a CSWin Transformer. */
export interface CswinConfig {
  /** Names the output folder. */
  readonly name: string;
  /** Side of the square image, in pixels: a multiple of 4, and twice as much for each further stage. */
  readonly image: number;
  /** Of the first stage; each further one has twice as many. */
  readonly channels: number;
  /** One after the other. */
  readonly stages: readonly CswinStage[];
  /** Width inside the MLP, in channels. */
  readonly mlpRatio: number;
  /** Whether queries, keys and values have biases. */
  readonly qkvBias: boolean;
  /** In the MLPs; exact GELU unless said. */
  readonly activation?: Activation;
  /** null for the features, without a head. */
  readonly classes: number | null;
}

/** CSWin-T (table 1): 22.3 million parameters. */
export const CSWIN_T: CswinConfig = {
  name: "cswin-t",
  image: 224,
  channels: 64,
  stages: [
    { depth: 1, heads: 2, split: 1 },
    { depth: 2, heads: 4, split: 2 },
    { depth: 21, heads: 8, split: 7 },
    { depth: 1, heads: 16, split: 7 },
  ],
  mlpRatio: 4,
  qkvBias: true,
  classes: 1000,
};

/** SLAB-CSWin-T: linear attention to the whole image in the first two stages. */
export const SLAB_CSWIN_T: CswinConfig = {
  ...CSWIN_T,
  name: "slab-cswin-t",
  stages: [
    { depth: 2, heads: 2, split: 1, linear: { blocks: 2, split: 56, kernel: 5 } },
    { depth: 4, heads: 4, split: 2, linear: { blocks: 4, split: 28, kernel: 5 } },
    { depth: 18, heads: 8, split: 7 },
    { depth: 1, heads: 16, split: 7 },
  ],
};

/**
 * `images [B, 3, H, H]` to `logits [B, classes]`, or without a head to `features [B, C]`; with the
 * normalization of CSWin's own paper unless said, or of SLAB's where there is linear attention. Images that
 * the stages do not divide, or stripes that do not fill a stage, are an error when it is traced.
 */
export function cswin(config: CswinConfig, options: { norm?: Norm } = {}): Model {
  const { image, channels, mlpRatio, classes } = config;
  const isLinear = config.stages.some(({ linear }) => linear !== undefined);
  const { norm: family = isLinear ? repBatchNorm() : layerNorm() } = options;
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, image, image]) },
    norm: family,
    forward({ images }, p) {
      let x = images;
      const halved = 2 ** (config.stages.length - 1);
      let side = halved * gridOf([image, image], 4 * halved).height;
      config.stages.forEach((stage, i) => {
        const width = channels * 2 ** i;
        if (i === 0) {
          const embed = p.at("stage1_conv_embed");
          const map = convolution(x, embed.at(0), { outputs: width, kernel: 7, stride: 4, padding: 2 });
          x = norm(mapToTokens(map), embed.at(2));
        } else {
          const merge = p.at(`merge${i}`);
          const map = tokensToMap(x, { height: side, width: side });
          const conv = { outputs: width, kernel: 3, stride: 2, padding: 1 };
          x = norm(mapToTokens(convolution(map, merge.at("conv"), conv)), merge.at("norm"));
          side /= 2;
        }
        for (let j = 0; j < stage.depth; j++) {
          const { split, kernel } = stage.linear !== undefined && j < stage.linear.blocks
            ? stage.linear
            : { split: stage.split, kernel: null };
          const { heads } = stage;
          const each = { ...config, heads, split, kernel, side, hidden: mlpRatio * width };
          x = cswinBlock(x, p.at(`stage${i + 1}`, j), each);
        }
      });
      const pooled = norm(x, p.at("norm")).mean({ axes: [1] });
      if (classes === null) return { features: pooled };
      return { logits: linear(pooled, p.at("head"), { outputs: classes }) };
    },
  });
}

interface BlockOptions extends Pick<CswinConfig, "qkvBias" | "activation"> {
  readonly heads: number;
  readonly split: number;
  readonly kernel: number | null;
  readonly side: number;
  readonly hidden: number;
}

/** Attention in stripes of both directions, then an MLP: `[B, T, C]` to the same. */
function cswinBlock(
  x: Tensor,
  p: Scope,
  { heads, split, kernel, side, hidden, qkvBias: bias, activation = "gelu" }: BlockOptions,
): Tensor {
  const { channels } = x;
  if (side % split !== 0) {
    throw new UnfoldError(`${p.path}: stripes of ${split} do not fill ${side}x${side} tokens`);
  }
  const stripes: readonly Grid[] = split === side
    ? [{ height: side, width: side }]
    : [{ height: side, width: split }, { height: split, width: side }];
  const each = { grid: { height: side, width: side }, heads: heads / stripes.length, kernel };
  const attend = (y: Tensor) => {
    const packed = linear(y, p.at("qkv"), { outputs: 3 * channels, bias });
    const parts = stripes.map((stripe, part) =>
      stripeAttention(packed, p.at("attns", part), { ...each, stripe, part, parts: stripes.length })
    );
    return linear(parts.length === 1 ? parts[0]! : concat(parts, { axis: -1 }), p.at("proj"), {
      outputs: channels,
    });
  };
  x = residual(x, attend, { norm: p.at("norm1") });
  return residual(x, (y) => mlp(y, p.at("mlp"), { hidden, activation }), { norm: p.at("norm2") });
}

interface StripeOptions {
  readonly grid: Grid;
  readonly stripe: Grid;
  /** Of this part. */
  readonly heads: number;
  readonly kernel: number | null;
  /** Which of so many parts of the channels. */
  readonly part: number;
  readonly parts: number;
}

/** Attention and LePE within stripes, for a part of the channels: `[B, T, 3C]` to `[B, T, C / parts]`. */
function stripeAttention(packed: Tensor, p: Scope, options: StripeOptions): Tensor {
  const { grid, stripe, heads, kernel, part, parts } = options;
  const [batch, tokens] = packed.sizes(3);
  const size = packed.channels / 3 / parts;
  const [down, across] = [grid.height / stripe.height, grid.width / stripe.width];
  // Moved by a transposition, all three at once: CSWin-T is 286 kernels, 335 with a gather, 383 with a gather
  // of each (TensorRT for RTX 1.7.1, fp16, 27 November 2026).
  const rows = [batch, down, stripe.height, across, stripe.width, packed.channels];
  const cut = packed.reshape(rows).transpose([0, 1, 3, 2, 4, 5]).reshape([
    -1,
    stripe.height * stripe.width,
    packed.channels,
  ]);
  const [q, k, v] = [0, 1, 2].map((i) => cut.slice({ axis: -1, start: (i * parts + part) * size, size })) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const byHead = (y: Tensor) => splitHeads(y, { heads });
  const mixed = kernel === null
    ? joinHeads(scaledDotProductAttention({ q: byHead(q), k: byHead(k), v: byHead(v) }))
    : linearMix({ q, k, v }, p, { heads, grid: stripe, kernel });
  const depthwise = { outputs: size, kernel: 3, padding: 1, groups: size };
  const local = convolution(tokensToMap(v, stripe), p.at("get_v"), depthwise);
  return mixed.add(mapToTokens(local))
    .reshape([batch, down, across, stripe.height, stripe.width, size])
    .transpose([0, 1, 3, 2, 4, 5])
    .reshape([batch, tokens, size]);
}
