/**
 * CSWin Transformers, as their authors' repository and SLAB's save them. Stages, and where attention is
 * linear its heads and stripes, are the tensors'. Nothing tells of softmax attention how wide its stripes are
 * and how many heads it has, nor of which size the images are: they are given, or those of the published
 * widths, or asked for.
 */
import { UnfoldError } from "../../errors.ts";
import { cswin, type CswinConfig, type CswinStage } from "../../models/cswin.ts";
import {
  ACTIVATION,
  EPSILON,
  IMAGE_SIZE,
  NORMALIZATION,
  SPLIT_SIZE,
  STAGE_HEADS,
} from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../define.ts";
import { normOf } from "../norms.ts";
import {
  headsOfKernels,
  layersIn,
  requireLibrary,
  requireUsualScale,
  rowsOf,
  stageHeadsOf,
} from "../sizes.ts";

export const cswinFormat: CheckpointFormat = {
  name: "CSWin Transformer (the authors' or SLAB's)",
  signature: [
    /^stage1_conv_embed\.0\.weight$/,
    /^stage1\.0\.qkv\.weight$/,
    /^stage1\.0\.attns\.0\.get_v\.weight$/,
  ],
  settings: [STAGE_HEADS, SPLIT_SIZE, EPSILON, IMAGE_SIZE, NORMALIZATION, ACTIVATION],
  read(file, settle) {
    requireLibrary(file, "timm");
    requireUsualScale(file, "CSWin Transformers");
    const scopes = /(^|\.)norm[12]?$|^stage1_conv_embed\.2$/;
    return {
      model: cswin(configOf(file, settle), { norm: normOf(file, settle, { scopes, groups: 1 }) }),
      ignored: [{ pattern: /\.attns\.\d+\.scale$/, why: "a factor that SLAB's attention does not read" }],
    };
  },
};

/** Heads of the published networks, by the channels of their first stage. */
const HEADS: Readonly<Record<number, readonly number[]>> = {
  64: [2, 4, 8, 16],
  96: [4, 8, 16, 32],
  144: [6, 12, 24, 24],
};

/** What tensors tell of a block. */
interface Block {
  readonly at: string;
  /** Stripes in both directions, each of half of the channels; 1 for the whole image. */
  readonly branches: number;
  /** Of its linear attention; null where it is softmax. */
  readonly linear: {
    /** Of all branches. */
    readonly heads: number;
    readonly why: string;
    readonly kernel: number;
    /** Of one stripe. */
    readonly tokens: number;
  } | null;
}

function configOf(file: CheckpointView, settle: Settle): CswinConfig {
  const channels = file.shapeOf("stage1_conv_embed.0.weight")[0]!;
  const count = layersIn(file, /^stage([1-9])\.0\.qkv\.weight$/, { first: 1 });
  const stages = Array.from({ length: count }, (_, i) => {
    const depth = layersIn(file, new RegExp(`^stage${i + 1}\\.(\\d+)\\.`));
    return Array.from(
      { length: depth },
      (_, j) => blockOf(file, { at: `stage${i + 1}.${j}`, channels: channels * 2 ** i }),
    );
  });
  const image = imageOf(settle, stages);
  const sides = stages.map((_, i) => image / 4 / 2 ** i);
  const heads = stageHeadsOf(settle, {
    stages: stages.map((blocks, i) => {
      const { heads = null, why = "" } = blocks.find(({ linear }) => linear !== null)?.linear ?? {};
      return {
        channels: channels * 2 ** i,
        heads,
        why,
        parts: Math.max(...blocks.map(({ branches }) => branches)),
      };
    }),
    usual: (stage) => HEADS[channels]?.[stage],
    why: `those of every published CSWin Transformer of ${channels} channels, nothing in the file says`,
    ask: `CSWin Transformers are published of ${
      Object.keys(HEADS).join(", ")
    } channels, this one has ${channels}`,
  });
  const splits = splitsOf(settle, { stages, sides });
  return {
    name: "cswin",
    image,
    channels,
    stages: stages.map((blocks, i): CswinStage => {
      const first = linearOf(file, blocks);
      return {
        depth: blocks.length,
        heads: heads[i]!,
        split: splits[i]!,
        ...first && {
          linear: {
            blocks: blocks.filter(({ linear }) => linear !== null).length,
            split: first.tokens / sides[i]!,
            kernel: first.kernel,
          },
        },
      };
    }),
    mlpRatio: file.shapeOf("stage1.0.mlp.fc1.weight")[0]! / channels,
    qkvBias: file.has("stage1.0.qkv.bias"),
    activation: settle(ACTIVATION, {
      published: { value: "gelu", why: "every CSWin Transformer is published with it" },
    }),
    classes: rowsOf(file, "head.weight"),
  };
}

function blockOf(file: CheckpointView, { at, channels }: { at: string; channels: number }): Block {
  const branches = file.has(`${at}.attns.1.get_v.weight`) ? 2 : 1;
  const attention = `${at}.attns.0`;
  if (!file.has(`${attention}.dwc.weight`)) return { at, branches, linear: null };
  const { heads, why } = headsOfKernels(file, { at: attention, channels: channels / branches });
  return {
    at,
    branches,
    linear: {
      heads: heads * branches,
      why,
      kernel: file.shapeOf(`${attention}.dwc.weight`)[2]!,
      tokens: file.shapeOf(`${attention}.positional_encoding`)[1]!,
    },
  };
}

/** The linear attention of a stage's first blocks; null where it has none. */
function linearOf(file: CheckpointView, blocks: readonly Block[]): Block["linear"] {
  const key = ({ branches, linear }: Block) =>
    linear === null ? `softmax ${branches}` : [branches, linear.heads, linear.kernel, linear.tokens].join();
  // Each kind begins once: the linear blocks, then those of softmax.
  const odd = blocks.find((block, i) =>
    i > 0 && key(block) !== key(blocks[i - 1]!) && !(block.linear === null && blocks[i - 1]!.linear !== null)
  );
  if (odd === undefined) return blocks[0]!.linear;
  throw new UnfoldError(
    `${file.path}: ${odd.at} has another attention than the block before it; UNfold has CSWin Transformers whose ` +
      "stages begin with linear attention, if any, and are of blocks alike, as SLAB's code makes them",
  );
}

/** The side of the images, which attention to a whole image has the positions of. */
function imageOf(settle: Settle, stages: readonly (readonly Block[])[]): number {
  const all = stages.flatMap((blocks, i) => blocks.map((block) => ({ ...block, stride: 4 * 2 ** i })));
  const whole = all.find(({ branches, linear }) => branches === 1 && linear !== null);
  const known = whole && {
    value: Math.sqrt(whole.linear!.tokens) * whole.stride,
    why: `${whole.at}.attns.0 has positions of ${whole.linear!.tokens} tokens of the whole image`,
  };
  const [side] = settle(IMAGE_SIZE, {
    ...known === undefined
      ? { ask: "no tensor has a place for each token; they are published for 224 and for 384" }
      : { tensors: { ...known, value: [known.value, known.value] } },
    fits: ([height, width]) => {
      const stride = all.at(-1)!.stride;
      if (height !== width || height! % stride !== 0) {
        return `images of ${height}x${width}: UNfold has CSWin Transformers of square images, whose sides are ` +
          `multiples of ${stride}`;
      }
      const odd = all.find(({ branches, linear, stride }) => {
        if (linear === null) return false;
        const side = height! / stride;
        const split = linear.tokens / side;
        return branches === 1 ? split !== side : split >= side || !Number.isInteger(side / split);
      });
      return odd &&
        `images of ${height}x${width} have ${(height! / odd.stride) ** 2} tokens at ${odd.at}, of which ` +
          `no stripe has ${odd.linear!.tokens} (positional_encoding)`;
    },
  });
  return side!;
}

/** Widths of the stripes of softmax attention: the whole side where there is one branch. */
function splitsOf(
  settle: Settle,
  { stages, sides }: { stages: readonly (readonly Block[])[]; sides: readonly number[] },
): readonly number[] {
  const branchesOf = (blocks: readonly Block[]) =>
    blocks.find(({ linear }) => linear === null)?.branches ?? 1;
  const branches = stages.map(branchesOf);
  if (branches.every((count) => count === 1)) return sides;
  const usual = [1, 2, sides.at(-1)!];
  const value = sides.map((side, i) => branches[i] === 1 ? side : usual[i] ?? NaN);
  const widths = settle(SPLIT_SIZE, {
    ...stages.length === 4 && value.every(Number.isInteger)
      ? {
        assumed: {
          value,
          why:
            "1, 2, then a 32nd of the image's side, as in every published CSWin Transformer, nothing in the file says",
        },
      }
      : { ask: `${stages.length} stages` },
    fits: (splits) => {
      if (splits.length !== stages.length) {
        return `${splits.length} widths of stripes for ${stages.length} stages`;
      }
      const odd = branches.findIndex((count, i) =>
        count === 2 && (sides[i]! % splits[i]! !== 0 || splits[i] === sides[i])
      );
      return odd < 0
        ? undefined
        : `stripes of ${splits[odd]} do not divide the ${sides[odd]}x${sides[odd]} tokens of stage ${
          odd + 1
        } ` +
          "into two or more";
    },
  });
  return widths.map((split, i) => branches[i] === 1 ? sides[i]! : split);
}
