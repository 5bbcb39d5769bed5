/**
 * ViT and DeiT as Hugging Face's `ViTForImageClassification` and `ViTModel` (no prefix, all tokens as its
 * output) save them: q, k and v apart, epsilon in `config.json`.
 */
import { vit, type VitConfig } from "../../models/vit.ts";
import { ACTIVATION, EPSILON, HEADS, IMAGE_SIZE } from "../common_settings.ts";
import { normOf } from "../norms.ts";
import { type CheckpointFormat, type CheckpointView, type Settle, type Source, stacked } from "../define.ts";
import { renamed, type Renaming } from "../rename.ts";
import { headsOf, headsOf64, layersIn, requireConfig, requireLibrary, requireSizes } from "../sizes.ts";

const NAMES: readonly Renaming[] = [
  [/^patch_embed\.proj\./, "embeddings.patch_embeddings.projection."],
  [/^cls_token$/, "embeddings.cls_token"],
  [/^pos_embed$/, "embeddings.position_embeddings"],
  [/^blocks\./, "encoder.layer."],
  [/\.norm1\./, ".layernorm_before."],
  [/\.norm2\./, ".layernorm_after."],
  [/\.attn\.proj\./, ".attention.output.dense."],
  [/\.attn\.qkv\./, ".attention.attention.qkv."],
  [/\.mlp\.fc1\./, ".intermediate.dense."],
  [/\.mlp\.fc2\./, ".output.dense."],
  [/^norm\./, "layernorm."],
  [/^head\./, "classifier."],
];

export const hfVit: CheckpointFormat = {
  name: "Hugging Face ViT",
  signature: [
    /^(vit\.)?embeddings\.patch_embeddings\.projection\.weight$/,
    /^(vit\.)?encoder\.layer\.0\.layernorm_before\.weight$/,
  ],
  // Distilled DeiT in the same layout has a second token.
  without: [/^(vit\.)?embeddings\.distillation_token$/],
  settings: [HEADS, ACTIVATION, EPSILON, IMAGE_SIZE],
  read(file, settle) {
    requireLibrary(file, "transformers");
    requireConfig(file, { model_type: ["vit"], num_channels: [3] });
    const prefix = file.has("embeddings.cls_token") ? "" : "vit.";
    return {
      model: vit(configOf(file, settle, prefix), {
        norm: normOf(file, settle, { scopes: /layernorm/, epsilon: 1e-12, groups: 1 }),
      }),
      locate: (parameter) => {
        const name = renamed(parameter, NAMES);
        return thirds(name.startsWith("classifier.") ? name : prefix + name);
      },
      ignored: [
        { pattern: /^(vit\.)?pooler\./, why: "a product of the class token, which is none of the outputs" },
        { pattern: /^(vit\.)?embeddings\.mask_token$/, why: "a token of pre-training" },
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

function configOf(file: CheckpointView, settle: Settle, prefix: string): VitConfig {
  const [channels, , patch] = file.shapeOf(`${prefix}embeddings.patch_embeddings.projection.weight`) as [
    number,
    number,
    number,
  ];
  const tokens = file.shapeOf(`${prefix}embeddings.position_embeddings`)[1]!;
  const depth = layersIn(file, /^(?:vit\.)?encoder\.layer\.(\d+)\./);
  const hidden = file.shapeOf(`${prefix}encoder.layer.0.intermediate.dense.weight`)[0]!;
  requireSizes(file, {
    hidden_size: channels,
    num_hidden_layers: depth,
    intermediate_size: hidden,
    patch_size: patch,
  });
  const side = Math.sqrt(tokens - 1) * patch;
  const image = settle(
    IMAGE_SIZE,
    Number.isInteger(side)
      ? { assumed: { value: [side, side], why: `${tokens - 1} patches, taken as a square` } }
      : { ask: `${tokens - 1} patches are no square` },
  ) as readonly [number, number];
  return {
    name: "vit",
    image,
    patch,
    channels,
    depth,
    heads: headsOf(settle, {
      channels,
      assumed: [192, 768, 1024].includes(channels) ? headsOf64(channels) : undefined,
      ask: channels === 384 ? "384 channels are published with 6 and with 12 heads" : undefined,
    }),
    hidden,
    activation: settle(ACTIVATION, {
      assumed: { value: "gelu", why: "ViTConfig's own, nothing in the file says" },
    }),
    classes: file.has("classifier.weight") ? file.shapeOf("classifier.weight")[0]! : null,
    qkvBias: file.has(`${prefix}encoder.layer.0.attention.attention.query.bias`),
    classToken: "placed",
    pool: file.has("classifier.weight") ? "token" : "none",
    lastNorm: "tokens",
    layerScale: false,
  };
}
