/** T2T-ViT with a Performer, of its authors' repository and of the Unified Normalization paper's. */
import { t2tVit, type T2tVitConfig } from "../../models/t2t_vit.ts";
import { EPSILON, HEADS, NORMALIZATION } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "../define.ts";
import { normOf } from "../norms.ts";
import type { Evidence } from "../settings.ts";
import { headsOf, headsOf64, layersIn, requireLibrary } from "../sizes.ts";

export const t2tVitFormat: CheckpointFormat = {
  name: "T2T-ViT (Performer)",
  signature: [
    /^tokens_to_token\.attention1\.w$/,
    /^tokens_to_token\.project\.weight$/,
    /^blocks\.0\.attn\.qkv\.weight$/,
  ],
  settings: [HEADS, EPSILON, NORMALIZATION],
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
const DEPTHS: Readonly<Record<number, readonly number[]>> = { 256: [7, 10, 12], 448: [19], 512: [24] };

/** Heads of the architecture that a trainer's arguments name. */
function publishedHeads(file: CheckpointView, channels: number): Evidence<number> | undefined {
  const name = file.said.map(({ values }) => values.model).find((model) =>
    typeof model === "string" && /^t2t_vit_(t_)?\d+(_resnext)?$/i.test(model)
  ) as string | undefined;
  if (name === undefined) return undefined;
  return { value: name.endsWith("_resnext") ? 32 : channels / 64, why: `the arguments name ${name}` };
}

function configOf(file: CheckpointView, settle: Settle): T2tVitConfig {
  const [, positions, channels] = file.shapeOf("pos_embed") as [number, number, number];
  const [features, tokenChannels] = file.shapeOf("tokens_to_token.attention1.w") as [number, number];
  const depth = layersIn(file, /^blocks\.(\d+)\./);
  return {
    name: "t2t-vit",
    image: 16 * Math.sqrt(positions - 1),
    tokenChannels,
    features,
    channels,
    depth,
    heads: headsOf(settle, {
      channels,
      published: publishedHeads(file, channels),
      assumed: DEPTHS[channels]?.includes(depth) ? headsOf64(channels) : undefined,
      ask: channels === 384 ? "T2T-ViT-14 is published with 6 heads and, as resnext, with 32" : undefined,
    }),
    hidden: file.shapeOf("blocks.0.mlp.fc1.weight")[0]!,
    classes: file.shapeOf("head.weight")[0]!,
    qkvBias: file.has("blocks.0.attn.qkv.bias"),
  };
}
