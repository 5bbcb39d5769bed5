/**
 * Swin Transformer (Liu et al., ICCV 2021): attention within windows, shifted in every second block, over scales that halve
 * the grid. As a classifier, and as the backbone of a detector, which takes images of other sizes and gives the features of
 * every scale. Tokens lie in the order of the windows, so that the paper's cyclic shift, its partition and the reversal of
 * both (section 3.2) are one gather between two blocks.
 */
import {
  add,
  attention,
  constant,
  convolution,
  float,
  gather,
  type Grid,
  gridOf,
  linear,
  mean,
  mergingOrder,
  mlp,
  type Model,
  model,
  norm,
  PADDING,
  patchEmbedding,
  relativePositions,
  reorder,
  reshape,
  residual,
  rowMajor,
  type Scope,
  shiftMask,
  type Tensor,
  type TokenOrder,
  transpose,
  windowOrder,
  type Windows,
} from "../dsl/mod.ts";
import { UnfoldError } from "../errors.ts";
import { layerNorm, type Norm } from "../norms/mod.ts";

export interface SwinConfig {
  readonly name: string;
  /** Multiples of the last scale's stride, 32 for four scales. */
  readonly image: readonly [height: number, width: number];
  readonly patch: number;
  /** Of the first scale; each further one has twice as many. */
  readonly channels: number;
  /** Blocks of each scale. */
  readonly depths: readonly number[];
  /** Of each scale. */
  readonly heads: readonly number[];
  /** Side of a window in tokens, M in the paper; of each scale where they differ (Swin-S3, Chen et al. 2021). */
  readonly window: number | readonly number[];
  /** Width inside the MLP, in channels. */
  readonly mlpRatio: number;
  readonly qkvBias: boolean;
  /** The order in which four neighbours merge: down the columns in the paper's code, along the rows in mmdetection. */
  readonly merging: "columns" | "rows";
  readonly classes: number;
}

/** Side of a window in a scale. */
export function windowAt({ window }: Pick<SwinConfig, "window">, scale: number): number {
  return typeof window === "number" ? window : window[scale]!;
}

export interface SwinBackboneConfig extends Omit<SwinConfig, "classes"> {
  /**
   * Channels of the feature pyramid's lateral convolutions (Lin et al., CVPR 2017), which then stand behind the features
   * and take in their normalizations; null for the bare features.
   */
  readonly laterals: number | null;
}

/** Swin-T (section 3.3): 28 million parameters. */
export const SWIN_T: SwinConfig = {
  name: "swin-t",
  image: [224, 224],
  patch: 4,
  channels: 96,
  depths: [2, 2, 6, 2],
  heads: [3, 6, 12, 24],
  window: 7,
  mlpRatio: 4,
  qkvBias: true,
  merging: "columns",
  classes: 1000,
};

/** Swin-T in front of a feature pyramid of 256 channels, at the size to which Mask R-CNN scales images. */
export const SWIN_T_BACKBONE: SwinBackboneConfig = {
  ...SWIN_T,
  name: "swin-t-backbone",
  image: [800, 1344],
  laterals: 256,
};

/** The classifier: `images [B, 3, H, W]` to `logits [B, classes]`. */
export function swin(config: SwinConfig, { norm: family = layerNorm() }: { norm?: Norm } = {}): Model {
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, ...config.image]) },
    norm: family,
    forward({ images }, p) {
      const last = scales(images, p, { ...config, pads: false }).at(-1)!;
      const pooled = mean(norm(last.x, p.at("norm")), { axes: [1] });
      return { logits: linear(pooled, p.at("head"), { outputs: config.classes }) };
    },
  });
}

/** The backbone: `images [B, 3, H, W]` to `stage0`, `stage1`, ... `[B, C, H / stride, W / stride]`, strides 4, 8, 16, 32. */
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
      const features = scales(images, p, { ...config, pads: true }).map((scale, i) => {
        const map = featureMap({ ...scale, x: norm(scale.x, p.at(`norm${i}`)) });
        if (config.laterals === null) return map;
        return convolution(map, p.at("neck.lateral_convs", i, "conv"), {
          outputs: config.laterals,
          kernel: 1,
        });
      });
      return Object.fromEntries(features.map((map, i) => [`stage${i}`, map]));
    },
  });
}

/** `[B, T, C]` to `[B, C, H, W]`. */
function featureMap({ x, order, grid }: Scale): Tensor {
  const [batch, , channels] = x.type.shape as [string, number, number];
  const rows = reorder(x, { from: order, to: rowMajor(grid) });
  return reshape(transpose(rows, [0, 2, 1]), [batch, channels, grid.height, grid.width]);
}

/** The tokens `[B, T, C]` of one scale, the order they lie in, and the grid they are of. */
interface Scale {
  readonly x: Tensor;
  readonly order: TokenOrder;
  readonly grid: Grid;
}

interface ScaleOptions extends Omit<SwinConfig, "name" | "classes"> {
  /** Whether a grid is padded to whole windows; if not it has to be one, or of whole ones. */
  readonly pads: boolean;
}

/** Every scale as its last block leaves it (figure 3). */
function scales(images: Tensor, p: Scope, options: ScaleOptions): Scale[] {
  const { image, patch, channels, depths, heads, merging, pads } = options;
  const grid = gridOf(image, patch);
  const patches = patchEmbedding(images, p.at("patch_embed.proj"), { patch, channels });
  let scale: Scale = { x: norm(patches, p.at("patch_embed.norm")), order: rowMajor(grid), grid };
  return depths.map((depth, i) => {
    const window = windowAt(options, i);
    if (i > 0) scale = patchMerging(scale, p.at("layers", i - 1, "downsample"), merging);
    for (let j = 0; j < depth; j++) {
      const windows = windowsOf(scale.grid, { window, isShifted: j % 2 === 1, pads });
      scale = swinBlock(scale, p.at("layers", i, "blocks", j), { ...options, ...windows, heads: heads[i]! });
    }
    return scale;
  });
}

/** Windows of M, every second time shifted by M / 2; a grid that is no larger than one is one, and is not shifted. */
function windowsOf(
  grid: Grid,
  { window, isShifted, pads }: { window: number; isShifted: boolean; pads: boolean },
): Windows {
  const side = Math.min(grid.height, grid.width);
  if (!pads && side <= window) return { window: side, shift: 0 };
  if (!pads && (grid.height % window !== 0 || grid.width % window !== 0)) {
    throw new UnfoldError(`${grid.height}x${grid.width} tokens are not whole windows of ${window}x${window}`);
  }
  return { window, shift: isShifted ? Math.floor(window / 2) : 0 };
}

type BlockOptions = Windows & Pick<SwinConfig, "mlpRatio" | "qkvBias"> & { readonly heads: number };

/** Equation 3: attention within windows, then an MLP. */
function swinBlock(
  { x, order, grid }: Scale,
  p: Scope,
  { heads, mlpRatio, qkvBias, ...cut }: BlockOptions,
): Scale {
  const windows = windowOrder(grid, cut);
  // Padding is zeros behind the normalization, so padded tokens come and go around the attention alone.
  const kept = windows.includes(PADDING) ? order : windows;
  x = reorder(x, { from: order, to: kept });
  x = residual(x, (y) => {
    const mask = positionBias(p.at("attn"), { ...cut, heads, grid });
    const options = { heads, qkvBias, mask, window: cut.window ** 2 };
    const mixed = attention(reorder(y, { from: kept, to: windows }), p.at("attn"), options);
    return reorder(mixed, { from: windows, to: kept });
  }, { norm: p.at("norm1") });
  const hidden = mlpRatio * (x.type.shape.at(-1) as number);
  x = residual(x, (y) => mlp(y, p.at("mlp"), { hidden }), { norm: p.at("norm2") });
  return { x, order: kept, grid };
}

/**
 * Added to the logits (equation 4): a bias by relative position, `[1, heads, T, T]`; between tokens that only the shift has
 * made neighbours, -10000 besides, `[windows, heads, T, T]`. The code has -100, whose exponential is as good as 0 beside
 * others but a denormal number, over which processors stumble.
 */
function positionBias(
  p: Scope,
  { window, shift, heads, grid }: Windows & { heads: number; grid: Grid },
): Tensor {
  const tokens = window ** 2;
  const table = p.param("relative_position_bias_table", [(2 * window - 1) ** 2, heads]);
  const rows = constant(relativePositions(window), {
    shape: [tokens, tokens],
    dtype: "int32",
    name: "positions",
  });
  const bias = reshape(transpose(gather(table, rows), [2, 0, 1]), [1, heads, tokens, tokens]);
  if (shift === 0) return bias;
  const apart = shiftMask(grid, { window, shift }).map((isApart) => isApart ? -1e4 : 0);
  const shape = [apart.length / tokens ** 2, 1, tokens, tokens];
  return add(bias, constant(apart, { shape, dtype: p.precision, name: "shift_mask" }));
}

/** Patches two by two side by side, normalized and halved: `[B, T, C]` to `[B, T / 4, 2 C]`. */
function patchMerging({ x, order, grid }: Scale, p: Scope, within: SwinConfig["merging"]): Scale {
  const [batch, tokens, channels] = x.type.shape as [string, number, number];
  const half = gridOf([grid.height, grid.width], 2);
  const merged = rowMajor(half);
  let four = reorder(x, { from: order, to: mergingOrder(half, { merged, within }) });
  if (within === "columns") {
    four = reshape(four, [batch, tokens / 4, 4 * channels]);
  } else {
    // mmdetection unfolds: the four values of a channel lie together.
    four = reshape(four, [batch, tokens / 4, 4, channels]);
    four = reshape(transpose(four, [0, 1, 3, 2]), [batch, tokens / 4, 4 * channels]);
  }
  const x2 = linear(norm(four, p.at("norm")), p.at("reduction"), { outputs: 2 * channels, bias: false });
  return { x: x2, order: merged, grid: half };
}
