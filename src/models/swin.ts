/**
 * Swin Transformer (Liu et al., ICCV 2021): attention within windows, shifted in every second block, over
 * scales that halve the grid. As a classifier, and as the backbone of a detector, which takes images of other
 * sizes and gives the features of every scale. Tokens lie in the order of the windows, so that the paper's
 * cyclic shift, its partition and the reversal of both (section 3.2) are one gather between two blocks.
 */
import {
  type Activation,
  attention,
  constant,
  convolution,
  eachAxis,
  float,
  type Grid,
  gridOf,
  linear,
  mergingOrder,
  mlp,
  type Model,
  model,
  norm,
  PADDING,
  patchEmbedding,
  type PerAxis,
  relativePositions,
  reorder,
  residual,
  rowMajor,
  type Scope,
  shiftMask,
  type Tensor,
  type TokenOrder,
  tokensToMap,
  windowOrder,
  type Windows,
} from "../dsl/mod.ts";
import { UnfoldError } from "../errors.ts";
import { layerNorm, type Norm } from "../norms/families.ts";
import { simplifiedLinearAttention } from "./linear_attention.ts";
import { type Sides, type SwinCut, windowsOf } from "./swin_windows.ts";

/** Sizes of Swin, and how its grids are cut. */
export interface SwinConfig {
  /** Names the output folder. */
  readonly name: string;
  /** Multiples of the patch; of the last scale's stride, 32 for four scales, where the cut is `"whole"`. */
  readonly image: readonly [height: number, width: number];
  /** Side of the square patches, in pixels. */
  readonly patch: number;
  /** Of the first scale; each further one has twice as many. */
  readonly channels: number;
  /** Blocks of each scale. */
  readonly depths: readonly number[];
  /** Of each scale. */
  readonly heads: readonly number[];
  /** Sides of a window in tokens, M in the paper; per scale where they differ (Swin-S3, Chen et al. 2021). */
  readonly window: number | readonly PerAxis[];
  /** How grids are cut that windows do not fill. */
  readonly cut: SwinCut;
  /** Each scale's first blocks with simplified linear attention (SLAB), if any, in windows of their own. */
  readonly linear?: readonly SwinLinear[];
  /** Whether patches are normalized before the first block. */
  readonly patchNorm: boolean;
  /** A learned position of each patch, `[1, T, C]` or `[1, C, H, W]`; null for none, as published. */
  readonly positions: "tokens" | "map" | null;
  /** Width inside the MLP, in channels. */
  readonly mlpRatio: number;
  /** Whether queries, keys and values have biases. */
  readonly qkvBias: boolean;
  /** The order in which four neighbours merge: by columns in the paper's code, by rows in mmdetection. */
  readonly merging: "columns" | "rows";
  /** In the MLPs. */
  readonly activation: Activation;
  /** null for the pooled features, without a head. */
  readonly classes: number | null;
}

/** SLAB's simplified linear attention (Guo et al., ICML 2024) in a scale. */
export interface SwinLinear {
  /** How many of the scale's first blocks have it. */
  readonly blocks: number;
  /** Side of a window in tokens. */
  readonly window: number;
  /** Side of the kernel of the depthwise convolution within a window. */
  readonly kernel: number;
}

/** Sides of a window in a scale. */
export function windowAt({ window }: Pick<SwinConfig, "window">, scale: number): PerAxis {
  return typeof window === "number" ? window : window[scale]!;
}

/** Sizes of Swin in front of a detector. */
export interface SwinBackboneConfig extends Omit<SwinConfig, "classes"> {
  /** Scales that are given, by number: 1, 2, 3 for those of the strides 8, 16 and 32; all unless said. */
  readonly outputs?: readonly number[];
  /**
   * Channels of the feature pyramid's lateral convolutions (Lin et al., CVPR 2017), which then stand behind
   * the features and take in their normalizations; null for the bare features.
   */
  readonly laterals: number | null;
}

/** Swin-T (section 3.3): 28 million parameters. */
export const SWIN_T: SwinConfig & { readonly classes: number } = {
  name: "swin-t",
  image: [224, 224],
  patch: 4,
  channels: 96,
  depths: [2, 2, 6, 2],
  heads: [3, 6, 12, 24],
  window: 7,
  cut: "whole",
  patchNorm: true,
  positions: null,
  mlpRatio: 4,
  qkvBias: true,
  merging: "columns",
  activation: "gelu",
  classes: 1000,
};

/** Swin-T in front of a feature pyramid of 256 channels, at the size to which Mask R-CNN scales images. */
export const SWIN_T_BACKBONE: SwinBackboneConfig = {
  ...SWIN_T,
  name: "swin-t-backbone",
  image: [800, 1344],
  cut: "always",
  laterals: 256,
};

/** The classifier: `images [B, 3, H, W]` to `logits [B, classes]`, or without a head to `features [B, C]`. */
export function swin(config: SwinConfig, { norm: family = layerNorm() }: { norm?: Norm } = {}): Model {
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, ...config.image]) },
    norm: family,
    forward({ images }, p) {
      const last = scales(images, p, config).at(-1)!;
      const pooled = norm(last.x, p.at("norm")).mean({ axes: [1] });
      if (config.classes === null) return { features: pooled };
      return { logits: linear(pooled, p.at("head"), { outputs: config.classes }) };
    },
  });
}

/** The backbone: `images [B, 3, H, W]` to the chosen `stage0`, ..., `[B, C, H / stride, W / stride]`. */
export function swinBackbone(
  config: SwinBackboneConfig,
  { norm: family = layerNorm() }: { norm?: Norm } = {},
): Model {
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, ...config.image]) },
    // Detectors take one large image at a time; eight of 800 x 1344 need 16 GB to be compared on a CPU.
    batch: 1,
    norm: family,
    forward({ images }, p) {
      const all = scales(images, p, config);
      const features = (config.outputs ?? all.map((_, i) => i)).map((i, output) => {
        const scale = all[i];
        if (scale === undefined) {
          throw new UnfoldError(`an output of scale ${i} is wanted of ${all.length} scales, counted from 0`);
        }
        const { order, grid } = scale;
        const rows = reorder(norm(scale.x, p.at(`norm${i}`)), { from: order, to: rowMajor(grid) });
        const map = tokensToMap(rows, grid);
        if (config.laterals === null) return [`stage${i}`, map];
        const lateral = p.at("neck.lateral_convs", output, "conv");
        return [`stage${i}`, convolution(map, lateral, { outputs: config.laterals, kernel: 1 })];
      });
      return Object.fromEntries(features);
    },
  });
}

/** The tokens `[B, T, C]` of one scale, the order they lie in, and the grid they are of. */
interface Scale {
  readonly x: Tensor;
  readonly order: TokenOrder;
  readonly grid: Grid;
}

type ScaleOptions = Omit<SwinConfig, "name" | "classes">;

/** Every scale as its last block leaves it (figure 3). */
function scales(images: Tensor, p: Scope, options: ScaleOptions): Scale[] {
  const { image, patch, channels, depths, heads, cut, patchNorm } = options;
  const grid = gridOf(image, patch);
  let x = patchEmbedding(images, p.at("patch_embed.proj"), { patch, channels });
  if (patchNorm) x = norm(x, p.at("patch_embed.norm"));
  let scale: Scale = { x: placed(x, p, { ...options, grid }), order: rowMajor(grid), grid };
  return depths.map((depth, i) => {
    if (i > 0) scale = patchMerging(scale, p.at("layers", i - 1, "downsample"), options);
    const linear = options.linear?.[i];
    let mask: Tensor | undefined;
    for (let j = 0; j < depth; j++) {
      const { kernel, window } = linear !== undefined && j < linear.blocks
        ? linear
        : { kernel: null, window: windowAt(options, i) };
      const windows = windowsOf(scale.grid, { window, isShifted: j % 2 === 1, cut });
      // Where windows are shifted, linear attention has no mask, in SLAB's code either.
      const isMasked = kernel === null && eachAxis(windows.shift).some((by) => by !== 0);
      if (isMasked) mask ??= shiftBias(scale.grid, windows);
      const each = { ...options, ...windows, heads: heads[i]!, kernel, mask: isMasked ? mask : undefined };
      scale = swinBlock(scale, p.at("layers", i, "blocks", j), each);
    }
    return scale;
  });
}

/** With the learned positions: `[B, T, C]` to the same. */
function placed(
  x: Tensor,
  p: Scope,
  { positions, grid: { height, width }, channels }: Pick<ScaleOptions, "positions" | "channels"> & {
    grid: Grid;
  },
): Tensor {
  if (positions === null) return x;
  const tokens = height * width;
  if (positions === "tokens") return x.add(p.param("absolute_pos_embed", [1, tokens, channels]));
  const map = p.param("absolute_pos_embed", [1, channels, height, width]);
  return x.add(map.reshape([1, channels, tokens]).transpose([0, 2, 1]));
}

type BlockOptions =
  & (Windows & { readonly window: Sides })
  & Pick<SwinConfig, "mlpRatio" | "qkvBias" | "activation">
  & {
    readonly heads: number;
    readonly kernel: SwinLinear["kernel"] | null;
    /** Added to the logits where windows are shifted. */
    readonly mask: Tensor | undefined;
  };

/** Equation 3: attention within windows, then an MLP. */
function swinBlock(
  { x, order, grid }: Scale,
  p: Scope,
  { heads, kernel, mask, mlpRatio, qkvBias, activation, window, shift, padding }: BlockOptions,
): Scale {
  const cut = { window, shift, ...(padding && { padding }) };
  const windows = windowOrder(grid, cut);
  // Padding is zeros behind the normalization, so padded tokens come and go around the attention alone.
  const kept = windows.includes(PADDING) ? order : windows;
  x = reorder(x, { from: order, to: kept });
  const own = p.at("attn");
  const attend = (y: Tensor) => {
    const [height, width] = window;
    const inside = { height, width };
    if (kernel !== null) return simplifiedLinearAttention(y, own, { heads, grid: inside, kernel, qkvBias });
    const bias = positionBias(own, { window, heads });
    return attention(y, own, {
      heads,
      qkvBias,
      mask: mask === undefined ? bias : bias.add(mask),
      window: height * width,
    });
  };
  x = residual(x, (y) => {
    const mixed = attend(reorder(y, { from: kept, to: windows }));
    return reorder(mixed, { from: windows, to: kept });
  }, { norm: p.at("norm1") });
  const hidden = mlpRatio * x.channels;
  x = residual(x, (y) => mlp(y, p.at("mlp"), { hidden, activation }), { norm: p.at("norm2") });
  return { x, order: kept, grid };
}

/** Added to the logits (equation 4): a bias by relative position, `[1, heads, T, T]`. */
function positionBias(p: Scope, { window, heads }: { window: PerAxis; heads: number }): Tensor {
  const [height, width] = eachAxis(window);
  const tokens = height * width;
  const table = p.param("relative_position_bias_table", [(2 * height - 1) * (2 * width - 1), heads]);
  const rows = constant(relativePositions(window), {
    shape: [tokens, tokens],
    dtype: "int32",
    name: "positions",
  });
  return table.gather(rows).transpose([2, 0, 1]).reshape([1, heads, tokens, tokens]);
}

/**
 * Added to the logits of shifted windows, `[windows, 1, T, T]`: -10000 between tokens that only the shift has
 * made neighbours. The code has -100, whose exponential is a denormal number, over which processors stumble.
 * As long as the logits of a query are less than 80 apart, the two differ by less than T e^-20, 1e-7 of the
 * attention in windows of 7; beyond that the code lets tokens through that its paper hides.
 */
function shiftBias(grid: Grid, { window, shift }: Windows): Tensor {
  const [height, width] = eachAxis(window);
  const tokens = height * width;
  const values = shiftMask(grid, { window, shift }).map((isApart) => isApart ? -1e4 : 0);
  const shape = [values.length / tokens ** 2, 1, tokens, tokens];
  return constant(values, { shape, name: "shift_mask" });
}

/** Merges patches two by two, normalized and halved: `[B, T, C]` to `[B, T / 4, 2 C]`; pads odd grids. */
function patchMerging(
  { x, order, grid }: Scale,
  p: Scope,
  { merging: within, cut }: Pick<SwinConfig, "merging" | "cut">,
): Scale {
  const { channels } = x;
  const half = cut === "whole"
    ? gridOf([grid.height, grid.width], 2)
    : { height: Math.ceil(grid.height / 2), width: Math.ceil(grid.width / 2) };
  const [batch] = x.sizes(3);
  const merged = rowMajor(half);
  let four = reorder(x, { from: order, to: mergingOrder(half, { merged, within, of: grid }) });
  // mmdetection unfolds: the four values of a channel lie together.
  if (within === "rows") four = four.reshape([batch, merged.length, 4, channels]).transpose([0, 1, 3, 2]);
  four = four.reshape([batch, merged.length, 4 * channels]);
  const x2 = linear(norm(four, p.at("norm")), p.at("reduction"), { outputs: 2 * channels, bias: false });
  return { x: x2, order: merged, grid: half };
}
