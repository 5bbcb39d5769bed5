/**
 * Swin Transformers: classifiers as timm, the paper's authors and Hugging Face save them, and backbones as the authors'
 * detection code and mmdetection do, alone or inside a detector. Heads and windows are the sizes of the tables of position
 * biases. The size of the images is no tensor's: it is in `config.json`, in the masks that the authors' files hold, or else
 * the usual one.
 */
import { UnfoldError } from "../errors.ts";
import { swin, SWIN_T_BACKBONE, swinBackbone, type SwinConfig } from "../models/swin.ts";
import type { CheckpointFormat, CheckpointView, Ignored, Recognised } from "./define.ts";
import { thirds } from "./hf_vit.ts";
import { normOf } from "./norms.ts";
import { renamed, type Renaming } from "./rename.ts";
import { layersIn, numberIn, requireConfig } from "./sizes.ts";

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
  takes: [],
  read(file) {
    // The authors end a scale with its merging, timm begins the next one with it.
    const isTimm = !file.has("layers.0.downsample.reduction.weight");
    const head = file.has("head.fc.weight") ? "head.fc" : "head";
    const names = (parameter: string) =>
      parameter.replace(/^head\./, `${head}.`).replace(
        /^layers\.(\d+)\.downsample\./,
        (whole, i) => isTimm ? `layers.${Number(i) + 1}.downsample.` : whole,
      );
    const norm = normOf(file, { scopes: /(^|\.)norm[12]?$/, groups: 1 });
    const sizes = sizesOf(file, names);
    const classes = file.shapeOf(`${head}.weight`)[0]!;
    return {
      model: swin({ ...sizes, name: "swin", image: imageOf(file, sizes), merging: "columns", classes }, {
        norm,
      }),
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
  takes: [],
  read(file) {
    requireConfig(file, {
      model_type: ["swin"],
      hidden_act: ["gelu"],
      layer_norm_eps: [1e-5],
      use_absolute_embeddings: [false],
    });
    const names = (parameter: string) => thirds(renamed(parameter, HUGGING_FACE));
    const first = (parameter: string) => {
      const name = names(parameter);
      return typeof name === "string" ? name : name.from[0]!;
    };
    const norm = normOf(file, { scopes: /(^|\.)(norm|layernorm(_before|_after)?)$/, groups: 1 });
    const sizes = sizesOf(file, first);
    const classes = file.shapeOf("classifier.weight")[0]!;
    return {
      model: swin({ ...sizes, name: "swin", image: imageOf(file, sizes), merging: "columns", classes }, {
        norm,
      }),
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
  takes: [],
  read: (file) => readBackbone(file, { renamings: [], merging: "columns" }),
};

export const mmdetectionSwin: CheckpointFormat = {
  name: "Swin Transformer backbone (mmdetection)",
  signature: [
    /^(backbone\.)?stages\.0\.blocks\.0\.attn\.w_msa\.relative_position_bias_table$/,
    /^(backbone\.)?norm3\.weight$/,
  ],
  without: [/absolute_pos_embed$/],
  takes: [],
  read: (file) => readBackbone(file, { renamings: MMDETECTION, merging: "rows" }),
};

function readBackbone(
  file: CheckpointView,
  { renamings, merging }: { renamings: readonly Renaming[]; merging: SwinConfig["merging"] },
): Recognised {
  const prefix = file.has("norm3.weight") ? "" : "backbone.";
  const names = (parameter: string) =>
    parameter.startsWith("neck.") ? parameter : prefix + renamed(parameter, renamings);
  const norm = normOf(file, { scopes: new RegExp(`^${prefix}(.*\\.)?norm\\d?$`), groups: 1 });
  const sizes = sizesOf(file, names);
  const image = configuredImage(file) ?? SWIN_T_BACKBONE.image;
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
    window: (Math.sqrt(shapeOf(`layers.0.blocks.0.${TABLE}`)[0]!) + 1) / 2,
    mlpRatio: shapeOf("layers.0.blocks.0.mlp.fc1.weight")[0]! / channels,
    qkvBias: file.has(names("layers.0.blocks.0.attn.qkv.bias")),
  };
}

/** The size of the images that a classifier takes. */
function imageOf(file: CheckpointView, { patch, window }: Sizes): SwinConfig["image"] {
  const configured = configuredImage(file);
  if (configured !== undefined) return configured;
  const mask = "layers.0.blocks.1.attn_mask";
  // Windows of the first scale in rows and columns, else as many as the last of four scales has one.
  const windows = file.has(mask) ? Math.sqrt(file.shapeOf(mask)[0]!) : 8;
  return [windows * window * patch, windows * window * patch];
}

/** `image_size` of Hugging Face, a number or two; `pretrained_cfg.input_size` of timm, [3, H, W]. */
function configuredImage(file: CheckpointView): SwinConfig["image"] | undefined {
  const size = numberIn(file, "image_size");
  if (size !== undefined) return [size, size];
  const timm = file.config?.pretrained_cfg as { input_size?: unknown } | undefined;
  const pair = file.config?.image_size ??
    (Array.isArray(timm?.input_size) ? timm.input_size.slice(1) : undefined);
  const isPair = Array.isArray(pair) && pair.length === 2 &&
    pair.every((side) => Number.isInteger(side) && side > 0);
  return isPair ? [pair[0], pair[1]] : undefined;
}
