/**
 * Pyramid Vision Transformers, as their authors' repository and SLAB's save them. Stages, reductions and
 * which blocks have linear attention are the tensors'; heads of softmax attention are 64 channels wide in all
 * that are published, and the size of the images is the square of the positions, or is given.
 */
import { UnfoldError } from "../../errors.ts";
import { pvt, type PvtConfig, type PvtStage } from "../../models/pvt.ts";
import { layerNorm } from "../../norms/families.ts";
import { ACTIVATION, EPSILON, IMAGE_SIZE, NORMALIZATION, STAGE_HEADS } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../define.ts";
import { normOf, scopedNorm } from "../norms.ts";
import type { Setting } from "../settings.ts";
import {
  hasScope,
  headsOfKernels,
  layersIn,
  requireLibrary,
  requireUsualScale,
  rowsOf,
  squareImages,
  stageHeadsOf,
  type StageWidth,
} from "../sizes.ts";

/** PyTorch's own, which PVT's code has in patches and reductions. */
const PATCH_EPSILON = 1e-5;
/** Of the blocks, also behind that of the patches, as `save_for_unfold` writes those of all modules. */
const BLOCK_EPSILON: Setting<number> = {
  ...EPSILON,
  parse: (value) => {
    const isOfBoth = Array.isArray(value) && value.length === 2 && value[0] === PATCH_EPSILON;
    return EPSILON.parse(isOfBoth ? value[1] : value);
  },
};

export const pvtFormat: CheckpointFormat = {
  name: "PVT (the authors' or SLAB's)",
  signature: [/^patch_embed1\.proj\.weight$/, /^block1\.0\.attn\.kv\.weight$/, /^pos_embed1$/],
  settings: [STAGE_HEADS, BLOCK_EPSILON, IMAGE_SIZE, NORMALIZATION, ACTIVATION],
  read(file, settle) {
    requireLibrary(file, "timm");
    requireUsualScale(file, "PVT");
    const read = normOf(file, settle, {
      scopes: /(^|\.)norm[12]?$/,
      epsilonSetting: BLOCK_EPSILON,
      epsilon: 1e-6,
      groups: 1,
    });
    // Its epsilon goes into the blocks and behind them; patches and reductions have theirs.
    const norm = read.family === "ln"
      ? scopedNorm(
        read,
        (scope) =>
          /^patch_embed|\.attn\.norm$/.test(scope) ? layerNorm({ epsilon: PATCH_EPSILON }) : undefined,
      )
      : read;
    return { model: pvt(configOf(file, settle), { norm }), ignored: [] };
  },
};

function configOf(file: CheckpointView, settle: Settle): PvtConfig {
  const count = layersIn(file, /^patch_embed([1-9])\.proj\.weight$/, { first: 1 });
  const known = Array.from({ length: count }, (_, i) => stageOf(file, i + 1));
  const heads = stageHeadsOf(settle, {
    stages: known,
    usual: (stage) => known[stage]!.channels / 64,
    why: "64 channels a head, as in every published PVT, nothing in the file says",
    ask: `stages of ${known.map(({ channels }) => channels).join(", ")} channels`,
  });
  const stages = known.map((stage, i) => ({ ...stage, heads: heads[i]! }));
  const classToken = file.has("cls_token");
  return {
    name: "pvt",
    image: imageOf(file, settle, { stages, classToken }),
    stages,
    classToken,
    lastNorm: hasScope(file, "norm"),
    qkvBias: file.has("block1.0.attn.q.bias"),
    activation: settle(ACTIVATION, { published: { value: "gelu", why: "every PVT is published with it" } }),
    classes: rowsOf(file, "head.weight"),
  };
}

/** What tensors tell of a stage; the heads, too, where its attention is linear. */
type KnownStage = Omit<PvtStage, "heads"> & StageWidth;

function stageOf(file: CheckpointView, number: number): KnownStage {
  const [channels, , patch] = file.shapeOf(`patch_embed${number}.proj.weight`) as [number, number, number];
  const depth = layersIn(file, new RegExp(`^block${number}\\.(\\d+)\\.`));
  const blocks = Array.from({ length: depth }, (_, i) => {
    const at = `block${number}.${i}.attn`;
    const isLinear = file.has(`${at}.dwc.weight`);
    return {
      at,
      reduction: file.has(`${at}.sr.weight`) ? file.shapeOf(`${at}.sr.weight`)[2]! : 1,
      kernel: isLinear ? file.shapeOf(`${at}.dwc.weight`)[2]! : null,
      ...isLinear ? headsOfKernels(file, { at, channels }) : { heads: null, why: "" },
    };
  });
  const [first] = blocks;
  const alike = ({ reduction, kernel, heads }: typeof blocks[number]) =>
    [reduction, kernel, heads].join() === [first!.reduction, first!.kernel, first!.heads].join();
  const odd = blocks.find((block) => !alike(block));
  if (first === undefined || odd !== undefined) {
    throw new UnfoldError(
      `${file.path}: ${
        odd === undefined
          ? `stage ${number} has no blocks`
          : `${odd.at} has another attention than ${first!.at}`
      }; UNfold has PVTs whose stages are of blocks alike, as both papers' code makes them`,
    );
  }
  const { reduction, kernel, heads, why } = first;
  const hidden = file.shapeOf(`block${number}.0.mlp.fc1.weight`)[0]!;
  return { patch, channels, depth, hidden, reduction, kernel, heads, why };
}

/** The square of the first stage's positions, unless another size is given; those of all stages must fit. */
function imageOf(
  file: CheckpointView,
  settle: Settle,
  { stages, classToken }: Pick<PvtConfig, "stages" | "classToken">,
): PvtConfig["image"] {
  const positions = stages.map((_, i) => file.shapeOf(`pos_embed${i + 1}`)[1]!);
  const side = Math.sqrt(positions[0]!) * stages[0]!.patch;
  const why = `pos_embed1 has ${positions[0]} positions`;
  return settle(IMAGE_SIZE, {
    ...squareImages(side, why),
    fits: (size) => {
      let [height, width] = size as PvtConfig["image"];
      for (const [i, { patch, kernel, reduction }] of stages.entries()) {
        [height, width] = [Math.floor(height / patch), Math.floor(width / patch)];
        const tokens = height * width + (classToken && i === stages.length - 1 ? 1 : 0);
        if (tokens !== positions[i]) {
          return `images of ${size.join("x")} have ${tokens} tokens in stage ${i + 1}, pos_embed${
            i + 1
          } has ` +
            `${positions[i]} positions; UNfold reads PVTs at the size that their positions were learned at`;
        }
        if (kernel === null) continue;
        const keys = file.shapeOf(`block${i + 1}.0.attn.positional_encoding`)[1]!;
        const reduced = Math.floor(height / reduction) * Math.floor(width / reduction);
        if (height === width && keys === reduced) continue;
        return `stage ${
          i + 1
        } has ${height}x${width} tokens of which ${reduced} are keys, and ${keys} positions of keys ` +
          "(positional_encoding); SLAB's attention is of squares";
      }
      return undefined;
    },
  }) as PvtConfig["image"];
}
