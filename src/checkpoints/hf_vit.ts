/** ViT and DeiT as Hugging Face's `ViTForImageClassification` saves them: q, k and v apart, epsilon in `config.json`. */
import { vit, type VitConfig } from "../models/vit.ts";
import { ACTIVATION, EPSILON, HEADS, IMAGE_SIZE } from "./common_settings.ts";
import { normOf } from "./norms.ts";
import { type CheckpointFormat, type CheckpointView, type Settle, type Source, stacked } from "./define.ts";
import { renamed, type Renaming } from "./rename.ts";
import { headsOf, headsOf64, layersIn, requireConfig, requireLibrary, requireSizes } from "./sizes.ts";

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
  settings: [HEADS, ACTIVATION, EPSILON, IMAGE_SIZE],
  read(file, settle) {
    requireLibrary(file, "transformers");
    requireConfig(file, { model_type: ["vit"], num_channels: [3] });
    return {
      model: vit(configOf(file, settle), {
        norm: normOf(file, settle, { scopes: /layernorm/, epsilon: 1e-12, groups: 1 }),
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

function configOf(file: CheckpointView, settle: Settle): VitConfig {
  const [channels, , patch] = file.shapeOf("vit.embeddings.patch_embeddings.projection.weight") as [
    number,
    number,
    number,
  ];
  const tokens = file.shapeOf("vit.embeddings.position_embeddings")[1]!;
  const depth = layersIn(file, /^vit\.encoder\.layer\.(\d+)\./);
  const hidden = file.shapeOf("vit.encoder.layer.0.intermediate.dense.weight")[0]!;
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
    image: image[0] === image[1] ? image[0] : image,
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
    classes: file.shapeOf("classifier.weight")[0]!,
    qkvBias: file.has("vit.encoder.layer.0.attention.attention.query.bias"),
    classToken: "placed",
    pool: "token",
    lastNorm: "tokens",
    layerScale: false,
  };
}
