/**
 * Swin Transformers that classify, as timm, the paper's authors and Hugging Face save them, with a head or
 * without. Heads and windows are the sizes of the tables of position biases. The size of the images is no
 * tensor's: it is given, or published of the architecture that is named, or taken as the square that the
 * authors' masks or positions fill.
 */
import type { PerAxis } from "../../../dsl/mod.ts";
import { UnfoldError } from "../../../errors.ts";
import { swin, type SwinConfig } from "../../../models/swin.ts";
import { layerNorm } from "../../../norms/families.ts";
import { IMAGE_SIZE, POOL } from "../../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Recognised, Settle } from "../../define.ts";
import { thirds } from "../hf_vit.ts";
import { normOf, scopedNorm } from "../../norms.ts";
import { renamed, type Renaming } from "../../rename.ts";
import { type Evidence, valueAt } from "../../settings.ts";
import {
  hasScope,
  numberIn,
  requireConfig,
  requireLibrary,
  requireSizes,
  requireUsualScale,
  rowsOf,
  squareImages,
} from "../../sizes.ts";
import {
  gridsOf,
  sameForAll,
  squareWindow,
  SWIN_BUFFERS,
  SWIN_SETTINGS,
  swinActivation,
  type SwinNames,
  type SwinSizes,
  swinSizes,
  windowsPerAxis,
} from "./sizes.ts";
import { architectureOf, argumentsOf } from "../timm.ts";

export const timmSwin: CheckpointFormat = {
  name: "Swin Transformer (timm or the authors')",
  signature: [
    /^patch_embed\.proj\.weight$/,
    /^layers\.0\.blocks\.0\.attn\.relative_position_bias_table$/,
    // A weight, or the scalar of PRepBN or RepBN.
    /^norm\.(weight|(norm2\.)?alpha)$/,
  ],
  // Swin V2 and SLAB have other attentions.
  without: [/\.attn\.(logit_scale|dwc\.)/],
  settings: [...SWIN_SETTINGS, POOL],
  read(file, settle) {
    // The authors end a scale with its merging, timm begins the next one with it.
    const isTimm = !hasScope(file, "layers.0.downsample") &&
      (hasScope(file, "layers.1.downsample") || file.has("head.fc.weight"));
    const head = file.has("head.fc.weight") ? "head.fc" : "head";
    const names = (parameter: string) =>
      parameter.replace(/^head\./, `${head}.`).replace(
        /^layers\.(\d+)\.downsample\./,
        (whole, i) => isTimm ? `layers.${Number(i) + 1}.downsample.` : whole,
      );
    const norm = normOf(file, settle, { scopes: /(^|\.)norm[12]?$/, groups: 1 });
    const sizes = swinSizes(file, names);
    const depth = sizes.depths.reduce((sum, blocks) => sum + blocks, 0);
    const architecture = architectureOf(file, { channels: sizes.channels, depth });
    requireConfig({ ...file, config: argumentsOf(file) }, { always_partition: [false, null] });
    requireUsualScale(file, "Swin Transformers");
    settle(POOL, {
      published: { value: "avg", why: "every Swin Transformer is published with the mean of all tokens" },
      fits: (pool) =>
        pool === "avg" ? undefined : `pool ${pool}: UNfold has Swin Transformers with the mean of all tokens`,
    });
    const image = isTimm
      ? timmImage(file, settle, { sizes, published: architecture?.image })
      : imageOfSquares(file, settle, { sizes, names, published: architecture?.image });
    const windows = isTimm
      ? windowsPerAxis(file, { image, sizes, stated: statedWindows(file, sizes) })
      : sizes.tables.map((rows) => squareWindow(file, rows));
    return classifier({ sizes, image, windows, norm, settle, cut: isTimm ? "axes" : "whole" }, {
      classes: rowsOf(file, `${head}.weight`),
      locate: names,
      ignored: SWIN_BUFFERS,
    });
  },
};

const HUGGING_FACE: readonly Renaming[] = [
  [/^patch_embed\.proj\./, "embeddings.patch_embeddings.projection."],
  [/^patch_embed\.norm\./, "embeddings.norm."],
  [/^absolute_pos_embed$/, "embeddings.position_embeddings"],
  [/^layers\./, "encoder.layers."],
  [/\.norm1\./, ".layernorm_before."],
  [/\.norm2\./, ".layernorm_after."],
  [/^norm\./, "layernorm."],
];

/** Of a block, as it has long been saved and as its modules are called since transformers 5. */
const SAVED: readonly Renaming[] = [
  [/\.attn\.proj\./, ".attention.output.dense."],
  [/\.attn\./, ".attention.self."],
  [/\.mlp\.fc1\./, ".intermediate.dense."],
  [/\.mlp\.fc2\./, ".output.dense."],
];
const LIVE: readonly Renaming[] = [
  [/\.attn\.proj\./, ".attention.o_proj."],
  [/\.attn\.qkv\./, ".attention.qkv_proj."],
  [/\.attn\.relative/, ".attention.relative_position_bias.relative"],
];

export const hfSwin: CheckpointFormat = {
  name: "Hugging Face Swin Transformer",
  signature: [
    /^(swin\.)?embeddings\.patch_embeddings\.projection\.weight$/,
    /^(swin\.)?encoder\.layers\.0\.blocks\.0\.attention\.(self|relative_position_bias)\.relative_position_bias_table$/,
    /^(swin\.)?layernorm\.weight$/,
  ],
  settings: SWIN_SETTINGS,
  read(file, settle) {
    requireLibrary(file, "transformers");
    requireConfig(file, { model_type: ["swin"], num_channels: [3] });
    const prefix = file.has("swin.layernorm.weight") ? "swin." : "";
    const block = file.has(`${prefix}encoder.layers.0.blocks.0.mlp.fc1.weight`) ? LIVE : SAVED;
    const names = (parameter: string) =>
      parameter.startsWith("head.")
        ? parameter.replace(/^head\./, "classifier.")
        : prefix + renamed(parameter, [...HUGGING_FACE, ...block]);
    const locate = (parameter: string) => thirds(names(parameter));
    const first = (parameter: string) => {
      const place = locate(parameter);
      return typeof place === "string" ? place : place.from[0]!;
    };
    const read = normOf(file, settle, { scopes: /(^|\.)(norm|layernorm(_before|_after)?)$/, groups: 1 });
    // Its epsilon goes into the blocks and behind them; patches and mergings have PyTorch's own.
    const norm = read.family === "ln"
      ? scopedNorm(read, (scope) => /^patch_embed|\.downsample\.norm$/.test(scope) ? layerNorm() : undefined)
      : read;
    const sizes = swinSizes(file, first);
    requireSizes(file, { embed_dim: sizes.channels, patch_size: sizes.patch });
    const image = imageOfSquares(file, settle, { sizes, names: first });
    return classifier({
      sizes,
      image,
      windows: hfWindows(file, { image, sizes }),
      norm,
      settle,
      cut: "padded",
    }, {
      classes: rowsOf(file, "classifier.weight"),
      locate,
      ignored: [...SWIN_BUFFERS, {
        pattern: /^(swin\.)?embeddings\.mask_token$/,
        why: "a token of pre-training",
      }],
    });
  },
};

interface Found {
  readonly sizes: SwinSizes;
  readonly image: SwinConfig["image"];
  readonly windows: readonly PerAxis[];
  readonly norm: Recognised["model"]["norm"];
  readonly cut: SwinConfig["cut"];
  readonly settle: Settle;
}

function classifier(
  { sizes: { tables: _, ...sizes }, image, windows, norm, settle, cut }: Found,
  { classes, ...rest }: Omit<Recognised, "model"> & { classes: number | null },
): Recognised {
  const activation = swinActivation(settle);
  const window = sameForAll(windows);
  const config = {
    ...sizes,
    name: "swin",
    image,
    window,
    cut,
    merging: "columns",
    activation,
    classes,
  } as const;
  return { model: swin(config, { norm }), ...rest };
}

/** Each scale's windows in timm's arguments: a side, a pair for all scales, or one of these for each. */
function statedWindows(file: CheckpointView, { depths }: SwinSizes): PerAxis[] | null {
  const stated = argumentsOf(file)?.window_size;
  if (stated === undefined || stated === null) return null;
  const isSide = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
  const isPair = (value: unknown): value is [number, number] =>
    Array.isArray(value) && value.length === 2 && value.every(isSide);
  if (isSide(stated) || isPair(stated)) return depths.map(() => stated);
  const isList = Array.isArray(stated) && stated.length === depths.length;
  if (isList && stated.every((window) => isSide(window) || isPair(window))) return stated as PerAxis[];
  throw new UnfoldError(
    `${file.path}: config.json says model_args.window_size ${
      JSON.stringify(stated)
    }; UNfold takes a side, [height, width], or one ` +
      `of these for each of ${depths.length} scales`,
  );
}

/** Hugging Face clips windows and drops shifts by the configured image, and again by each image it gets. */
function hfWindows(
  file: CheckpointView,
  { image, sizes }: { image: SwinConfig["image"]; sizes: SwinSizes },
): number[] {
  const windows = sizes.tables.map((rows) => squareWindow(file, rows));
  const usual = numberIn(file, "window_size") ?? Math.max(...windows);
  gridsOf(image, sizes).forEach(({ height, width }, i) => {
    if (windows[i] === usual || Math.min(height, width) <= windows[i]!) return;
    throw new UnfoldError(
      `${file.path}: windows of scale ${i} are of ${
        windows[i]
      } tokens where the configuration has ${usual}, and its grid is ` +
        `${height}x${width}: larger than they were made for, which UNfold does not read; give --image-size`,
    );
  });
  return windows;
}

interface ImageOptions {
  readonly sizes: SwinSizes;
  readonly published?: Evidence<readonly number[]> | undefined;
}

function timmImage(
  file: CheckpointView,
  settle: Settle,
  { sizes: { patch, tables }, published }: ImageOptions,
): SwinConfig["image"] {
  const input = valueAt(file.config ?? {}, "pretrained_cfg.input_size");
  const size = Array.isArray(input) ? IMAGE_SIZE.parse(input.slice(1)) : undefined;
  const side = (Math.sqrt(tables[0]!) + 1) / 2;
  return settle(IMAGE_SIZE, {
    published: size === undefined
      ? published
      : { value: size, why: "config.json says pretrained_cfg.input_size" },
    ...Number.isInteger(side) && { assumed: eightWindows(side * patch) },
  }) as SwinConfig["image"];
}

const eightWindows = (side: number) => ({
  value: [8 * side, 8 * side],
  why: "eight windows on a side in the first scale, nothing in the file says",
});

/**
 * Where windows are square: the authors' masks and absolute positions tell how many tokens there are, not of
 * which shape.
 */
function imageOfSquares(
  file: CheckpointView,
  settle: Settle,
  { sizes, names, published }: ImageOptions & { names: SwinNames },
): SwinConfig["image"] {
  const { patch, tables } = sizes;
  const sides = tables.map((rows) => squareWindow(file, rows));
  const tokens: { count: number; why: string }[] = [];
  const mask = "layers.0.blocks.1.attn_mask";
  if (file.has(mask)) {
    const windows = file.shapeOf(mask)[0]!;
    tokens.push({ count: windows * sides[0]! ** 2, why: `${mask} has ${windows} windows` });
  }
  const positions = names("absolute_pos_embed");
  if (sizes.positions === "tokens") {
    const count = file.shapeOf(positions)[1]!;
    tokens.push({ count, why: `${positions} has ${count} positions` });
  }
  const misfit = (size: readonly number[]) => {
    const [height, width] = size as SwinConfig["image"];
    const counted = tokens.find(({ count }) => height * width !== count * patch ** 2);
    if (counted !== undefined) {
      return `images of ${height}x${width} are not those of the file: ${counted.why}`;
    }
    if (height % patch !== 0 || width % patch !== 0) return undefined;
    const grids = gridsOf([height, width], sizes);
    const i = grids.findIndex((grid, i) => Math.min(grid.height, grid.width) < sides[i]!);
    if (i < 0) return undefined;
    return `images of ${height}x${width} have ${grids[i]!.height}x${
      grids[i]!.width
    } tokens in scale ${i}, whose windows ` +
      `are of ${sides[i]}x${sides[i]}`;
  };
  const square = Math.sqrt(tokens[0]?.count ?? 0) * patch;
  return settle(IMAGE_SIZE, {
    published: published === undefined || misfit(published.value) !== undefined ? undefined : published,
    ...tokens.length === 0
      ? { assumed: eightWindows(sides[0]! * patch) }
      : squareImages(square, tokens[0]!.why),
    fits: misfit,
  }) as SwinConfig["image"];
}
