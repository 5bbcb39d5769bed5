/**
 * SLAB's Swin Transformer, as the paper's repository saves it: in the first blocks of a scale simplified
 * linear attention, in windows of their own, then softmax. Which a block has, its windows and its heads are
 * its tensors'; the size of the images follows from the masks of shifted windows, or is given.
 */
import { UnfoldError } from "../../../errors.ts";
import { swin, type SwinConfig } from "../../../models/swin.ts";
import { IMAGE_SIZE } from "../../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../../define.ts";
import { normOf } from "../../norms.ts";
import {
  hasScope,
  headsOfKernels,
  layersIn,
  requireLibrary,
  requireUsualScale,
  rowsOf,
  squareImages,
} from "../../sizes.ts";
import { gridsOf, sameForAll, squareWindow, SWIN_BUFFERS, SWIN_SETTINGS, swinActivation } from "./sizes.ts";

export const slabSwin: CheckpointFormat = {
  name: "SLAB Swin Transformer",
  signature: [
    /^patch_embed\.proj\.weight$/,
    /^layers\.\d+\.blocks\.\d+\.attn\.dwc\.weight$/,
    /^norm\.(weight|(norm2\.)?alpha)$/,
  ],
  settings: SWIN_SETTINGS,
  read(file, settle) {
    requireLibrary(file, "timm");
    requireUsualScale(file, "Swin Transformers");
    return {
      model: swin(configOf(file, settle), {
        norm: normOf(file, settle, { scopes: /(^|\.)norm[12]?$/, groups: 1 }),
      }),
      ignored: SWIN_BUFFERS,
    };
  },
};

/** What tensors tell of a block. */
interface Block {
  readonly at: string;
  readonly isLinear: boolean;
  readonly heads: number;
  /** Side of its windows. */
  readonly window: number;
  /** Windows that its mask is of; null where it has none. */
  readonly masked: number | null;
}

function configOf(file: CheckpointView, settle: Settle): SwinConfig {
  const [channels, , patch] = file.shapeOf("patch_embed.proj.weight") as [number, number, number];
  const scales = Array.from({ length: layersIn(file, /^layers\.(\d+)\./) }, (_, scale) => {
    const depth = layersIn(file, new RegExp(`^layers\\.${scale}\\.blocks\\.(\\d+)\\.`));
    const blocks = Array.from(
      { length: depth },
      (_, i) => blockOf(file, { at: `layers.${scale}.blocks.${i}`, width: channels * 2 ** scale }),
    );
    return { blocks, ...ofAll(file, blocks) };
  });
  const image = imageOf(settle, { patch, scales: scales.map(({ blocks }) => blocks) });
  return {
    name: "slab-swin",
    image,
    patch,
    channels,
    depths: scales.map(({ blocks }) => blocks.length),
    heads: scales.map(({ heads }) => heads),
    window: sameForAll(scales.map(({ window }) => window)),
    linear: scales.map(({ linear }) => linear),
    cut: "whole",
    patchNorm: hasScope(file, "patch_embed.norm"),
    positions: file.has("absolute_pos_embed") ? "tokens" : null,
    mlpRatio: file.shapeOf("layers.0.blocks.0.mlp.fc1.weight")[0]! / channels,
    qkvBias: file.has("layers.0.blocks.0.attn.qkv.bias"),
    merging: "columns",
    activation: swinActivation(settle),
    classes: rowsOf(file, "head.weight"),
  };
}

function blockOf(file: CheckpointView, { at, width }: { at: string; width: number }): Block {
  const mask = `${at}.attn_mask`;
  const masked = rowsOf(file, mask);
  const [dwc, places, table] = ["dwc.weight", "positional_encoding", "relative_position_bias_table"].map((
    name,
  ) => `${at}.attn.${name}`) as [string, string, string];
  if (!file.has(dwc)) {
    const [rows, heads] = file.shapeOf(table) as [number, number];
    return { at, isLinear: false, heads, window: squareWindow(file, rows), masked };
  }
  const { heads } = headsOfKernels(file, { at: `${at}.attn`, channels: width });
  const [, tokens] = file.shapeOf(places) as [number, number];
  const window = Math.sqrt(tokens);
  if (!Number.isInteger(window)) {
    throw new UnfoldError(
      `${file.path}: ${places} has ${tokens} places in a window, and a window is a square`,
    );
  }
  return { at, isLinear: true, heads, window, masked };
}

/** What the blocks of one scale have in common. */
function ofAll(file: CheckpointView, blocks: readonly Block[]) {
  const first = blocks[0]!;
  const linear = blocks.filter(({ isLinear }) => isLinear);
  const softmax = blocks.slice(linear.length);
  const odd = softmax.find(({ isLinear }) => isLinear) ??
    blocks.find(({ heads, isLinear, window }) =>
      heads !== first.heads || window !== (isLinear ? linear : softmax)[0]?.window
    );
  if (odd !== undefined) {
    throw new UnfoldError(
      `${file.path}: ${odd.at} has ${
        odd.isLinear ? "linear" : "softmax"
      } attention of ${odd.heads} heads in windows of ` +
        `${odd.window}x${odd.window}; UNfold has scales of one number of heads, their first blocks with linear ` +
        "attention, in windows of one size for each kind, as SLAB's code makes them",
    );
  }
  const { window } = linear[0] ?? first;
  const kernel = linear.length === 0 ? 1 : file.shapeOf(`${first.at}.attn.dwc.weight`)[2]!;
  return {
    heads: first.heads,
    window: softmax[0]?.window ?? window,
    linear: { blocks: linear.length, window, kernel },
  };
}

/** Blocks with shifted windows have a mask; linear attention has one, too, and does not read it. */
function imageOf(
  settle: Settle,
  { patch, scales }: { patch: number; scales: readonly (readonly Block[])[] },
): SwinConfig["image"] {
  const all = scales.flatMap((blocks, scale) => blocks.map((block, i) => ({ ...block, scale, i })));
  const shifted = all.find(({ masked }) => masked !== null);
  const misfit = (size: readonly number[]) => {
    const [rows, columns] = size as SwinConfig["image"];
    if (rows % patch !== 0 || columns % patch !== 0) return undefined;
    const grids = gridsOf([rows, columns], { patch, depths: scales.map(({ length }) => length) });
    for (const { at, scale, i, window, masked } of all) {
      const { height, width } = grids[scale]!;
      const tokens = `images of ${rows}x${columns} have ${height}x${width} tokens in scale ${scale}`;
      if (height % window !== 0 || width % window !== 0) {
        return `${tokens}, which are not whole windows of ${window}x${window} (${at}.attn)`;
      }
      const count = i % 2 === 1 && Math.min(height, width) > window ? height * width / window ** 2 : null;
      if (shifted !== undefined && masked !== count) {
        const words = (windows: number | null) =>
          windows === null ? "no mask" : `a mask of ${windows} windows`;
        return `${tokens}, for which ${at} would have ${words(count)}; it has ${words(masked)}`;
      }
    }
    return undefined;
  };
  const { at, scale, window, masked } = shifted ?? { ...all[0]!, masked: 1 };
  const side = Math.sqrt(masked!) * window * patch * 2 ** scale;
  const why = shifted === undefined
    ? `one window of ${window}x${window} in the first scale, nothing in the file says`
    : `${at}.attn_mask has ${masked} windows of ${window}x${window}`;
  return settle(IMAGE_SIZE, {
    ...shifted === undefined ? { assumed: { value: [side, side], why } } : squareImages(side, why),
    fits: misfit,
  }) as SwinConfig["image"];
}
