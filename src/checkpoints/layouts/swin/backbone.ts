/**
 * Swin Transformers as backbones of detectors, as the authors' detection code and mmdetection save them,
 * alone or inside a detector, with all of their scales as outputs or some.
 */
import { UnfoldError } from "../../../errors.ts";
import { SWIN_T_BACKBONE, swinBackbone, type SwinConfig } from "../../../models/swin.ts";
import { IMAGE_SIZE } from "../../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Ignored, Recognised, Settle } from "../../define.ts";
import { normOf } from "../../norms.ts";
import { renamed, type Renaming } from "../../rename.ts";
import { hasScope } from "../../sizes.ts";
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
} from "./sizes.ts";

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
    /^(backbone\.)?norm\d\.(weight|(norm2\.)?alpha)$/,
  ],
  without: [/\.attn\.(logit_scale|dwc\.)/],
  settings: SWIN_SETTINGS,
  read: (file, settle) => readBackbone(file, settle, { renamings: [], merging: "columns" }),
};

export const mmdetectionSwin: CheckpointFormat = {
  name: "Swin Transformer backbone (mmdetection)",
  signature: [
    /^(backbone\.)?stages\.0\.blocks\.0\.attn\.w_msa\.relative_position_bias_table$/,
    /^(backbone\.)?norm\d\.(weight|(norm2\.)?alpha)$/,
  ],
  settings: SWIN_SETTINGS,
  read: (file, settle) => readBackbone(file, settle, { renamings: MMDETECTION, merging: "rows" }),
};

function readBackbone(
  file: CheckpointView,
  settle: Settle,
  { renamings, merging }: { renamings: readonly Renaming[]; merging: SwinConfig["merging"] },
): Recognised {
  const prefix = file.names().some((name) => name.startsWith("backbone.")) ? "backbone." : "";
  const names = (parameter: string) =>
    parameter.startsWith("neck.") ? parameter : prefix + renamed(parameter, renamings);
  const norm = normOf(file, settle, { scopes: new RegExp(`^${prefix}(.*\\.)?norm\\d?$`), groups: 1 });
  const { tables, ...all } = swinSizes(file, names);
  const outputs = all.depths.flatMap((_, i) => hasScope(file, `${prefix}norm${i}`) ? [i] : []);
  // What comes behind the last output is computed by the detector's code, too, and read by nothing.
  const scales = outputs.at(-1)! + 1;
  const sizes = { ...all, depths: all.depths.slice(0, scales), heads: all.heads.slice(0, scales) };
  const windows = tables.slice(0, scales).map((rows) => squareWindow(file, rows));
  const image = imageOf(file, settle, { sizes, names });
  const { laterals, ignored } = lateralsOf(file, { channels: sizes.channels, outputs });
  const activation = swinActivation(settle);
  const window = sameForAll(windows);
  return {
    model: swinBackbone(
      {
        ...sizes,
        name: "swin-backbone",
        image,
        window,
        cut: "always",
        merging,
        activation,
        outputs,
        laterals,
      },
      { norm },
    ),
    locate: names,
    ignored: [
      ...SWIN_BUFFERS,
      ...ignored,
      {
        pattern: new RegExp(
          `^${prefix}(layers|stages)\\.(${scales - 1}\\.downsample|(${
            all.depths.map((_, i) => i).slice(scales).join("|") || "none"
          }))\\.`,
        ),
        why: "scales behind the last one that is given",
      },
      ...prefix === ""
        ? []
        : [{ pattern: /^(?!backbone\.|neck\.lateral_convs\.)/, why: "the detector around the backbone" }],
    ],
  };
}

function imageOf(
  file: CheckpointView,
  settle: Settle,
  { sizes, names }: { sizes: Omit<SwinSizes, "tables">; names: SwinNames },
): SwinConfig["image"] {
  const name = names("absolute_pos_embed");
  const positions = sizes.positions === null ? null : file.shapeOf(name);
  const [rows, columns] = positions?.slice(2) ?? [];
  const image = settle(IMAGE_SIZE, {
    assumed: rows !== undefined && columns !== undefined
      ? {
        value: [rows * sizes.patch, columns * sizes.patch],
        why: `${name} has ${rows}x${columns} positions`,
      }
      : {
        value: SWIN_T_BACKBONE.image,
        why: "what Mask R-CNN scales images to, nothing in the file says",
      },
    fits: (size) =>
      size.every((side) => side % sizes.patch === 0)
        ? undefined
        : `images of ${size.join("x")} do not divide into patches of ${sizes.patch}x${sizes.patch}`,
  }) as SwinConfig["image"];
  if (positions === null) return image;
  const { height, width } = gridsOf(image, sizes)[0]!;
  const isOfSize = positions.length === 4
    ? positions[2] === height && positions[3] === width
    : positions[1] === height * width;
  if (isOfSize) return image;
  throw new UnfoldError(
    `${file.path}: ${name} has positions [${positions.join(", ")}], and images of ${
      image.join("x")
    } have ${height}x${width} patches: ` +
      "detectors interpolate them, UNfold reads those of the size they were trained with; give --image-size",
  );
}

/** The feature pyramid's first convolutions, where there is one for each output and of its channels. */
function lateralsOf(
  file: CheckpointView,
  { channels, outputs }: { channels: number; outputs: readonly number[] },
): { laterals: number | null; ignored: readonly Ignored[] } {
  const shapes = Array.from({ length: outputs.length + 1 }, (_, i) => `neck.lateral_convs.${i}.conv.weight`)
    .flatMap((name) => file.has(name) ? [file.shapeOf(name)] : []);
  if (shapes.length === 0) return { laterals: null, ignored: [] };
  const isOfOutputs = shapes.length === outputs.length &&
    outputs.every((scale, i) => shapes[i]![1] === channels * 2 ** scale && shapes[i]![0] === shapes[0]![0]);
  if (isOfOutputs) return { laterals: shapes[0]![0]!, ignored: [] };
  return {
    laterals: null,
    ignored: [{
      pattern: /^neck\.lateral_convs\./,
      why: `convolutions of a feature pyramid for ${
        shapes.map((shape) => shape[1]).join(", ")
      } channels, where the outputs ` +
        `have ${
          outputs.map((scale) => channels * 2 ** scale).join(", ")
        }`,
    }],
  };
}
