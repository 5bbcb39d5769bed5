/** ViT and DeiT as Hugging Face's `ViTForImageClassification` saves them: q, k and v apart, epsilon in `config.json`. */
import { vit, type VitConfig } from "../models/vit.ts";
import { normOf } from "./norms.ts";
import {
  type CheckpointFormat,
  type CheckpointView,
  type ReadOptions,
  type Source,
  stacked,
} from "./define.ts";
import { renamed, type Renaming } from "./rename.ts";
import { headsOf, layersIn, numberIn, requireConfig } from "./sizes.ts";

const NAMES: readonly Renaming[] = [
  [/^patch_embed\.proj\./, "vit.embeddings.patch_embeddings.projection."],
  [/^cls_token$/, "vit.embeddings.cls_token"],
  [/^pos_embed$/, "vit.embeddings.position_embeddings"],
  [/^blocks\./, "vit.encoder.layer."],
  [/\.norm1\./, ".layernorm_before."],
  [/\.norm2\./, ".layernorm_after."],
  [/\.attn\.proj\./, ".attention.output.dense."],
  [/\.attn\.qkv\./, ".attention.attention.qkv."],
  [/\.mlp\.fc1\./, ".intermediate.dense."],
  [/\.mlp\.fc2\./, ".output.dense."],
  [/^norm\./, "vit.layernorm."],
  [/^head\./, "classifier."],
];

export const hfVit: CheckpointFormat = {
  name: "Hugging Face ViT",
  signature: [
    /^vit\.embeddings\.patch_embeddings\.projection\.weight$/,
    /^vit\.encoder\.layer\.0\.layernorm_before\.weight$/,
  ],
  // Distilled DeiT in the same layout has a second token.
  without: [/^vit\.embeddings\.distillation_token$/],
  takes: ["heads"],
  read(file, options) {
    requireConfig(file, { model_type: ["vit"], hidden_act: ["gelu"], num_channels: [3] });
    const epsilon = numberIn(file, "layer_norm_eps") ?? 1e-12;
    return {
      model: vit(configOf(file, options), {
        norm: normOf(file, { scopes: /layernorm/, epsilon, groups: 1 }),
      }),
      locate: (parameter) => thirds(renamed(parameter, NAMES)),
      ignored: [
        { pattern: /^vit\.pooler\./, why: "a product that the classifier does not read" },
        { pattern: /^vit\.embeddings\.mask_token$/, why: "a token of pre-training" },
      ],
    };
  },
};

/** The packed product of q, k and v, which these layouts keep apart. */
export function thirds(name: string): string | Source {
  return name.includes(".qkv.")
    ? stacked(["query", "key", "value"].map((part) => name.replace(".qkv.", `.${part}.`)))
    : name;
}

function configOf(file: CheckpointView, { heads }: ReadOptions): VitConfig {
  const [channels, , patch] = file.shapeOf("vit.embeddings.patch_embeddings.projection.weight") as [
    number,
    number,
    number,
  ];
  const tokens = file.shapeOf("vit.embeddings.position_embeddings")[1]!;
  return {
    name: "vit",
    image: Math.sqrt(tokens - 1) * patch,
    patch,
    channels,
    depth: layersIn(file, /^vit\.encoder\.layer\.(\d+)\./),
    heads: headsOf(file, {
      heads,
      channels,
      key: "num_attention_heads",
      usual: [192, 384, 768, 1024].includes(channels) ? channels / 64 : undefined,
    }),
    hidden: file.shapeOf("vit.encoder.layer.0.intermediate.dense.weight")[0]!,
    classes: file.shapeOf("classifier.weight")[0]!,
    qkvBias: file.has("vit.encoder.layer.0.attention.attention.query.bias"),
    classToken: "placed",
    pool: "token",
    lastNorm: "tokens",
    layerScale: false,
  };
}
