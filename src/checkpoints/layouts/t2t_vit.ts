/** T2T-ViT with a Performer or a Transformer for its tokens, as its authors and the UN paper save it. */
import { t2tVit, type T2tVitConfig } from "../../models/t2t_vit.ts";
import { EPSILON, HEADS, NORMALIZATION, QK_SCALE } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../define.ts";
import { normOf } from "../norms.ts";
import type { Evidence } from "../settings.ts";
import { headsOf, headsOf64, layersIn, qkScaleOf, requireLibrary } from "../sizes.ts";

export const t2tVitFormat: CheckpointFormat = {
  name: "T2T-ViT",
  signature: [
    /^tokens_to_token\.attention1\.(w|attn\.qkv\.weight)$/,
    /^tokens_to_token\.project\.weight$/,
    /^blocks\.0\.attn\.qkv\.weight$/,
  ],
  settings: [HEADS, QK_SCALE, EPSILON, NORMALIZATION],
  read(file, settle) {
    requireLibrary(file, "timm");
    const scopes = /(^|\.)norm[12]?$/;
    return {
      model: t2tVit(configOf(file, settle), { norm: normOf(file, settle, { scopes, groups: 1 }) }),
      ignored: [],
    };
  },
};

/** Depths of T2T-ViT-7 to -24 by their channels; 14 is published with 6 heads and, as "resnext", with 32. */
const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  256: [7, 10, 12],
  448: [19],
  512: [24],
  768: [4],
};

/** Heads of the architecture that a trainer's arguments name. */
function publishedHeads(file: CheckpointView, channels: number): Evidence<number> | undefined {
  const name = file.statements.map(({ values }) => values.model).find((model) =>
    typeof model === "string" && /^t2t_vit_(t_)?\d+(_resnext)?$/i.test(model)
  ) as string | undefined;
  if (name === undefined) return undefined;
  return { value: name.endsWith("_resnext") ? 32 : channels / 64, why: `the arguments name ${name}` };
}

function configOf(file: CheckpointView, settle: Settle): T2tVitConfig {
  const [, positions, channels] = file.shapeOf("pos_embed") as [number, number, number];
  const stage = "tokens_to_token.attention1";
  const [features, tokenChannels] = file.has(`${stage}.w`)
    ? file.shapeOf(`${stage}.w`) as [number, number]
    : [null, file.shapeOf(`${stage}.attn.proj.weight`)[0]!];
  const depth = layersIn(file, /^blocks\.(\d+)\./);
  const heads = headsOf(settle, {
    channels,
    published: publishedHeads(file, channels),
    assumed: DEPTHS[channels]?.includes(depth) ? headsOf64(channels) : undefined,
    ask: channels === 384 ? "T2T-ViT-14 is published with 6 heads and, as resnext, with 32" : undefined,
  });
  return {
    name: "t2t-vit",
    image: 16 * Math.sqrt(positions - 1),
    tokenChannels,
    features,
    channels,
    depth,
    heads,
    ...qkScaleOf(file, settle, {
      assumed: {
        value: (channels / heads) ** -0.5,
        why:
          `1 / sqrt(${
            channels / heads
          } channels of a head), nothing in the file says; the authors' code gives ` +
          `${channels} ** -0.5 when it loads published weights`,
      },
    }),
    hidden: file.shapeOf("blocks.0.mlp.fc1.weight")[0]!,
    classes: file.shapeOf("head.weight")[0]!,
    qkvBias: file.has("blocks.0.attn.qkv.bias"),
  };
}
