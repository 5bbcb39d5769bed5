/**
 * Swin Transformers: classifiers as timm, the paper's authors and Hugging Face save them, and backbones as the authors'
 * detection code and mmdetection do, alone or inside a detector. Heads and windows are the sizes of the tables of position
 * biases. The size of the images is no tensor's: it is in `config.json`, in the masks that the authors' files hold, or else
 * the usual one.
 */
import { UnfoldError } from "../errors.ts";
import { swin, SWIN_T_BACKBONE, swinBackbone, type SwinConfig, windowAt } from "../models/swin.ts";
import { EPSILON, IMAGE_SIZE, NORMALIZATION } from "./common_settings.ts";
import type { CheckpointFormat, CheckpointView, Ignored, Recognised, Settle } from "./define.ts";
import { thirds } from "./hf_vit.ts";
import { normOf } from "./norms.ts";
import { renamed, type Renaming } from "./rename.ts";
import { type Evidence, valueAt } from "./settings.ts";
import { layersIn, requireConfig, requireLibrary, requireSizes } from "./sizes.ts";
import { architectureOf } from "./timm.ts";

const BUFFERS: readonly Ignored[] = [
  {
    pattern: /\.relative_position_index$/,
    why: "places in the tables of position biases, which are computed",
  },
  { pattern: /\.attn_mask$/, why: "masks of shifted windows, which are computed" },
];

const TABLE = "attn.relative_position_bias_table";

export const timmSwin: CheckpointFormat = {
  name: "Swin Transformer (timm or the authors')",
  signature: [
    /^patch_embed\.proj\.weight$/,
    /^layers\.0\.blocks\.0\.attn\.relative_position_bias_table$/,
    /^norm\.weight$/,
  ],
  // Swin V2 and SLAB have other attentions.
  without: [/\.attn\.(logit_scale|dwc\.)/, /^absolute_pos_embed$/],
  settings: [EPSILON, IMAGE_SIZE, NORMALIZATION],
  read(file, settle) {
    // The authors end a scale with its merging, timm begins the next one with it.
    const isTimm = !file.has("layers.0.downsample.reduction.weight");
    const head = file.has("head.fc.weight") ? "head.fc" : "head";
    const names = (parameter: string) =>
      parameter.replace(/^head\./, `${head}.`).replace(
        /^layers\.(\d+)\.downsample\./,
        (whole, i) => isTimm ? `layers.${Number(i) + 1}.downsample.` : whole,
      );
    const norm = normOf(file, settle, { scopes: /(^|\.)norm[12]?$/, groups: 1 });
    const sizes = sizesOf(file, names);
    const depth = sizes.depths.reduce((sum, blocks) => sum + blocks, 0);
    const architecture = architectureOf(file, { channels: sizes.channels, depth });
    const image = imageOf(file, settle, { ...sizes, published: architecture?.image });
    if (isTimm) refuseOneRowOfWindows(file, image, sizes);
    const classes = file.shapeOf(`${head}.weight`)[0]!;
    return {
      model: swin({ ...sizes, name: "swin", image, merging: "columns", classes }, { norm }),
      locate: names,
      ignored: BUFFERS,
    };
  },
};

const HUGGING_FACE: readonly Renaming[] = [
  [/^patch_embed\.proj\./, "swin.embeddings.patch_embeddings.projection."],
  [/^patch_embed\.norm\./, "swin.embeddings.norm."],
  [/^layers\./, "swin.encoder.layers."],
  [/\.norm1\./, ".layernorm_before."],
  [/\.norm2\./, ".layernorm_after."],
  [/\.attn\.proj\./, ".attention.output.dense."],
  [/\.attn\./, ".attention.self."],
  [/\.mlp\.fc1\./, ".intermediate.dense."],
  [/\.mlp\.fc2\./, ".output.dense."],
  [/^norm\./, "swin.layernorm."],
  [/^head\./, "classifier."],
];

export const hfSwin: CheckpointFormat = {
  name: "Hugging Face Swin Transformer",
  signature: [
    /^swin\.embeddings\.patch_embeddings\.projection\.weight$/,
    /^swin\.encoder\.layers\.0\.blocks\.0\.attention\.self\.relative_position_bias_table$/,
  ],
  settings: [EPSILON, IMAGE_SIZE, NORMALIZATION],
  read(file, settle) {
    requireLibrary(file, "transformers");
    requireConfig(file, {
      model_type: ["swin"],
      hidden_act: ["gelu"],
      use_absolute_embeddings: [false],
    });
    const names = (parameter: string) => thirds(renamed(parameter, HUGGING_FACE));
    const first = (parameter: string) => {
      const name = names(parameter);
      return typeof name === "string" ? name : name.from[0]!;
    };
    const norm = normOf(file, settle, { scopes: /(^|\.)(norm|layernorm(_before|_after)?)$/, groups: 1 });
    const sizes = sizesOf(file, first);
    requireSizes(file, { embed_dim: sizes.channels, patch_size: sizes.patch });
    const image = imageOf(file, settle, sizes);
    const classes = file.shapeOf("classifier.weight")[0]!;
    return {
      model: swin({ ...sizes, name: "swin", image, merging: "columns", classes }, { norm }),
      locate: names,
      ignored: [...BUFFERS, { pattern: /^swin\.embeddings\.mask_token$/, why: "a token of pre-training" }],
    };
  },
};

const MMDETECTION: readonly Renaming[] = [
  [/^patch_embed\.proj\./, "patch_embed.projection."],
  [/^layers\./, "stages."],
  [/\.attn\./, ".attn.w_msa."],
  [/\.mlp\.fc1\./, ".ffn.layers.0.0."],
  [/\.mlp\.fc2\./, ".ffn.layers.1."],
];

export const detectionSwin: CheckpointFormat = {
  name: "Swin Transformer backbone (the authors' detection code)",
  signature: [
    /^(backbone\.)?layers\.0\.blocks\.0\.attn\.relative_position_bias_table$/,
    /^(backbone\.)?norm3\.weight$/,
  ],
  without: [/absolute_pos_embed$/],
  settings: [EPSILON, IMAGE_SIZE, NORMALIZATION],
  read: (file, settle) => readBackbone(file, settle, { renamings: [], merging: "columns" }),
};

export const mmdetectionSwin: CheckpointFormat = {
  name: "Swin Transformer backbone (mmdetection)",
  signature: [
    /^(backbone\.)?stages\.0\.blocks\.0\.attn\.w_msa\.relative_position_bias_table$/,
    /^(backbone\.)?norm3\.weight$/,
  ],
  without: [/absolute_pos_embed$/],
  settings: [EPSILON, IMAGE_SIZE, NORMALIZATION],
  read: (file, settle) => readBackbone(file, settle, { renamings: MMDETECTION, merging: "rows" }),
};

function readBackbone(
  file: CheckpointView,
  settle: Settle,
  { renamings, merging }: { renamings: readonly Renaming[]; merging: SwinConfig["merging"] },
): Recognised {
  const prefix = file.has("norm3.weight") ? "" : "backbone.";
  const names = (parameter: string) =>
    parameter.startsWith("neck.") ? parameter : prefix + renamed(parameter, renamings);
  const norm = normOf(file, settle, { scopes: new RegExp(`^${prefix}(.*\\.)?norm\\d?$`), groups: 1 });
  const sizes = sizesOf(file, names);
  const image = settle(IMAGE_SIZE, {
    assumed: {
      value: SWIN_T_BACKBONE.image,
      why: "what Mask R-CNN scales images to, nothing in the file says",
    },
  }) as SwinConfig["image"];
  const lateral = "neck.lateral_convs.0.conv.weight";
  const laterals = file.has(lateral) ? file.shapeOf(lateral)[0]! : null;
  return {
    model: swinBackbone({ ...sizes, name: "swin-backbone", image, merging, laterals }, { norm }),
    locate: names,
    ignored: [
      ...BUFFERS,
      ...prefix === ""
        ? []
        : [{ pattern: /^(?!backbone\.|neck\.lateral_convs\.)/, why: "the detector around the backbone" }],
    ],
  };
}

type Sizes = Omit<SwinConfig, "name" | "image" | "merging" | "classes">;

/** What shapes tell, of tensors that the page calls by `names`. */
function sizesOf(file: CheckpointView, names: (parameter: string) => string): Sizes {
  const shapeOf = (parameter: string) => file.shapeOf(names(parameter));
  const [channels, , patch] = shapeOf("patch_embed.proj.weight") as [number, number, number];
  const layers = (parameter: string, at: string) =>
    layersIn(file, new RegExp(`^${names(parameter).replaceAll(".", "\\.").replace(at, "(\\d+)")}$`));
  const scales = layers(`layers.SCALE.blocks.0.${TABLE}`, "SCALE");
  const each = Array.from({ length: scales }, (_, i) => i);
  const windows = each.map((i) => (Math.sqrt(shapeOf(`layers.${i}.blocks.0.${TABLE}`)[0]!) + 1) / 2);
  return {
    patch,
    channels,
    depths: each.map((i) => layers(`layers.${i}.blocks.BLOCK.${TABLE}`, "BLOCK")),
    heads: each.map((i) => {
      const heads = shapeOf(`layers.${i}.blocks.0.${TABLE}`)[1]!;
      const width = channels * 2 ** i;
      if (width % heads === 0) return heads;
      throw new UnfoldError(
        `${file.path}: ${width} channels do not divide among ${heads} heads (${
          names(`layers.${i}.blocks.0.${TABLE}`)
        })`,
      );
    }),
    window: windows.every((window) => window === windows[0]) ? windows[0]! : windows,
    mlpRatio: shapeOf("layers.0.blocks.0.mlp.fc1.weight")[0]! / channels,
    qkvBias: file.has(names("layers.0.blocks.0.attn.qkv.bias")),
  };
}

/** The size of the images that a classifier takes: told by the authors' masks, else by what is said or published. */
function imageOf(
  file: CheckpointView,
  settle: Settle,
  { patch, window, published }: Sizes & { published?: Evidence<readonly number[]> | undefined },
): SwinConfig["image"] {
  const mask = "layers.0.blocks.1.attn_mask";
  const side = windowAt({ window }, 0) * patch;
  const masked = file.has(mask) ? Math.sqrt(file.shapeOf(mask)[0]!) : undefined;
  const square = (windows: number) => [windows * side, windows * side];
  const input = valueAt(file.config ?? {}, "pretrained_cfg.input_size");
  const size = Array.isArray(input) ? IMAGE_SIZE.parse(input.slice(1)) : undefined;
  return settle(IMAGE_SIZE, {
    ...(masked !== undefined && Number.isInteger(masked) &&
      { tensors: { value: square(masked), why: `${mask} has ${masked ** 2} windows` } }),
    published: size === undefined
      ? published
      : { value: size, why: "config.json says pretrained_cfg.input_size" },
    assumed: {
      value: square(8),
      why: "eight windows on a side in the first scale, nothing in the file says",
    },
  }) as SwinConfig["image"];
}

/**
 * timm shifts and cuts each axis by itself, the authors neither where one of them is a single window. They are the same but
 * for images that are one window high or wide, not both.
 */
function refuseOneRowOfWindows(
  file: CheckpointView,
  image: SwinConfig["image"],
  { patch, depths, window }: Sizes,
): void {
  depths.forEach((_, i) => {
    const [height, width] = image.map((side) => side / patch / 2 ** i) as [number, number];
    const side = windowAt({ window }, i);
    if (height === width || Math.min(height, width) > side) return;
    throw new UnfoldError(
      `${file.path}: for images of ${
        image.join("x")
      } scale ${i} has ${height}x${width} tokens, a single row of windows of ` +
        `${side}, which timm shifts along one axis alone; UNfold shifts both`,
    );
  });
}
