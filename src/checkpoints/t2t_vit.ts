/** T2T-ViT with a Performer, of its authors' repository and of the Unified Normalization paper's. */
import { t2tVit, type T2tVitConfig } from "../models/t2t_vit.ts";
import type { CheckpointFormat, CheckpointView, ReadOptions } from "./define.ts";
import { normOf } from "./norms.ts";
import { headsOf, layersIn } from "./sizes.ts";

export const t2tVitFormat: CheckpointFormat = {
  name: "T2T-ViT (Performer)",
  signature: [
    /^tokens_to_token\.attention1\.w$/,
    /^tokens_to_token\.project\.weight$/,
    /^blocks\.0\.attn\.qkv\.weight$/,
  ],
  takes: ["heads"],
  read(file, options) {
    const scopes = /(^|\.)norm[12]?$/;
    return {
      model: t2tVit(configOf(file, options), { norm: normOf(file, { scopes, groups: 1 }) }),
      ignored: [],
    };
  },
};

function configOf(file: CheckpointView, { heads }: ReadOptions): T2tVitConfig {
  const [, positions, channels] = file.shapeOf("pos_embed") as [number, number, number];
  const [features, tokenChannels] = file.shapeOf("tokens_to_token.attention1.w") as [number, number];
  return {
    name: "t2t-vit",
    image: 16 * Math.sqrt(positions - 1),
    tokenChannels,
    features,
    channels,
    depth: layersIn(file, /^blocks\.(\d+)\./),
    heads: headsOf(file, {
      heads,
      channels,
      key: "num_heads",
      // T2T-ViT-7 to -24 all have 64 channels a head.
      usual: [256, 384, 448, 512].includes(channels) ? channels / 64 : undefined,
    }),
    hidden: file.shapeOf("blocks.0.mlp.fc1.weight")[0]!,
    classes: file.shapeOf("head.weight")[0]!,
    qkvBias: file.has("blocks.0.attn.qkv.bias"),
  };
}
