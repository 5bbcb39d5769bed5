/**
 * ViT and DeiT as timm and the papers' own repositories save them. What a file has tells the variant: the class token, the
 * length of the positions, `fc_norm`, layer-scale.
 */
import { UnfoldError } from "../errors.ts";
import { vit, type VitConfig } from "../models/vit.ts";
import { layerNorm } from "../norms/mod.ts";
import type { CheckpointFormat, CheckpointView, ReadOptions } from "./define.ts";
import { normOf } from "./norms.ts";
import { headsOf, layersIn } from "./sizes.ts";

export const timmVit: CheckpointFormat = {
  name: "timm ViT or DeiT",
  signature: [/^patch_embed\.proj\.weight$/, /^pos_embed$/, /^blocks\.0\.attn\.qkv\.weight$/],
  // T2T-ViT and SLAB, which have names of their own besides.
  without: [/^tokens_to_token\./, /\.attn\.dwc\./],
  takes: ["heads"],
  read(file, options) {
    const norm = normOf(file, { scopes: /^(blocks\.\d+\.norm[12]|norm|fc_norm)$/, groups: 1 });
    return {
      model: vit(configOf(file, options), {
        norm: norm.family === "ln" ? layerNorm({ epsilon: 1e-6 }) : norm,
      }),
      ignored: [],
    };
  },
};

/** Widths at which all published networks have 64 channels a head. */
const USUAL: readonly number[] = [192, 384, 768, 1024];

function configOf(file: CheckpointView, { heads }: ReadOptions): VitConfig {
  if (file.has("dist_token")) {
    throw new UnfoldError(
      `${file.path} is a distilled DeiT, with a second token and head (dist_token); UNfold reads the plain one`,
    );
  }
  const [channels, , patch] = file.shapeOf("patch_embed.proj.weight") as [number, number, number];
  const positions = file.shapeOf("pos_embed")[1]!;
  const hasToken = file.has("cls_token");
  // A square of patches, and perhaps the class token.
  const side = Math.floor(Math.sqrt(positions));
  const placed = positions - side ** 2;
  if (placed > (hasToken ? 1 : 0)) {
    throw new UnfoldError(
      `${file.path}: pos_embed has ${positions} positions, which are not those of a square image`,
    );
  }
  const pooled = file.has("fc_norm.weight");
  return {
    name: "vit",
    image: side * patch,
    patch,
    channels,
    depth: layersIn(file, /^blocks\.(\d+)\./),
    heads: headsOf(file, {
      heads,
      channels,
      key: "num_heads",
      usual: USUAL.includes(channels) ? channels / 64 : undefined,
    }),
    hidden: file.shapeOf("blocks.0.mlp.fc1.weight")[0]!,
    classes: file.shapeOf("head.weight")[0]!,
    qkvBias: file.has("blocks.0.attn.qkv.bias"),
    classToken: hasToken ? placed === 1 ? "placed" : "unplaced" : "none",
    pool: hasToken && !pooled ? "token" : "mean",
    lastNorm: pooled ? "pooled" : "tokens",
    layerScale: file.has("blocks.0.ls1.gamma"),
  };
}
