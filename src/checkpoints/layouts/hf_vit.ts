/**
 * ViT and DeiT as Hugging Face's transformers has them, from a classifier ("vit.", "deit.") or the bare model
 * (no prefix, all tokens as its output): q, k and v apart, epsilon in `config.json`. `save_pretrained` writes
 * the names of old; those of the live modules since transformers 5 are read, too.
 */
import { vit, type VitConfig } from "../../models/vit.ts";
import { ACTIVATION, EPSILON, HEADS, IMAGE_SIZE, TRAINED_SIZE } from "../common_settings.ts";
import { normOf } from "../norms.ts";
import { type CheckpointFormat, type CheckpointView, type Settle, type Source, stacked } from "../define.ts";
import { renamed, type Renaming } from "../rename.ts";
import {
  headsOf,
  headsOf64,
  layersIn,
  requireConfig,
  requireLibrary,
  requireSizes,
  rowsOf,
} from "../sizes.ts";
import { type ImageIn, imageIn } from "./vit_image.ts";

const OUTER: readonly Renaming[] = [
  [/^patch_embed\.proj\./, "embeddings.patch_embeddings.projection."],
  [/^cls_token$/, "embeddings.cls_token"],
  [/^dist_token$/, "embeddings.distillation_token"],
  [/^pos_embed$/, "embeddings.position_embeddings"],
  [/^norm\./, "layernorm."],
];

/** Of a block, as it has long been saved and as its modules are called since transformers 5. */
const SAVED: readonly Renaming[] = [
  [/^blocks\./, "encoder.layer."],
  [/\.attn\.proj\./, ".attention.output.dense."],
  [/\.attn\.qkv\./, ".attention.attention.qkv."],
  [/\.mlp\.fc1\./, ".intermediate.dense."],
  [/\.mlp\.fc2\./, ".output.dense."],
];
const LIVE: readonly Renaming[] = [
  [/^blocks\./, "layers."],
  [/\.attn\.proj\./, ".attention.o_proj."],
  [/\.attn\.qkv\./, ".attention.qkv_proj."],
];
const INNER: readonly Renaming[] = [[/\.norm1\./, ".layernorm_before."], [/\.norm2\./, ".layernorm_after."]];

export const hfVit: CheckpointFormat = {
  name: "Hugging Face ViT or DeiT",
  signature: [
    /^((vit|deit)\.)?embeddings\.patch_embeddings\.projection\.weight$/,
    /^((vit|deit)\.)?(encoder\.layer|layers)\.0\.layernorm_before\.weight$/,
  ],
  settings: [HEADS, ACTIVATION, EPSILON, IMAGE_SIZE, TRAINED_SIZE],
  read(file, settle) {
    requireLibrary(file, "transformers");
    requireConfig(file, { model_type: ["vit", "deit"], num_channels: [3] });
    const end = "embeddings.patch_embeddings.projection.weight";
    const prefix = ["", "vit.", "deit."].find((prefix) => file.has(prefix + end))!;
    const blocks = file.has(`${prefix}layers.0.layernorm_before.weight`) ? LIVE : SAVED;
    const names = (parameter: string) =>
      parameter.startsWith("head")
        ? headsIn(file)[parameter.split(".")[0] as "head" | "head_dist"] + parameter.replace(/^\w+/, "")
        : prefix + renamed(parameter, [...OUTER, ...blocks, ...INNER]);
    const { config, positions } = configOf(file, settle, names);
    return {
      model: vit(config, { norm: normOf(file, settle, { scopes: /layernorm/, epsilon: 1e-12, groups: 1 }) }),
      locate: (parameter) => parameter === "pos_embed" && positions || thirds(names(parameter)),
      ignored: [
        { pattern: /^(\w+\.)?pooler\./, why: "a product of the class token, which is none of the outputs" },
        { pattern: /^(\w+\.)?embeddings\.mask_token$/, why: "a token of pre-training" },
      ],
    };
  },
};

/** A distilled DeiT with its teacher's head has two. */
const headsIn = (file: CheckpointView) =>
  file.has("cls_classifier.weight")
    ? { head: "cls_classifier", head_dist: "distillation_classifier" }
    : { head: "classifier", head_dist: "" };

/** The packed product of q, k and v, which these layouts have as three. */
export function thirds(name: string): string | Source {
  const parts = thirdsIn(name);
  return parts === null ? name : stacked(parts);
}

/** The three parts of a packed product in either form of the names; null of any other tensor. */
export function thirdsIn(name: string): readonly string[] | null {
  const [, packed] = /\.(qkv|qkv_proj)\./.exec(name) ?? [];
  if (packed === undefined) return null;
  const parts = packed === "qkv" ? ["query", "key", "value"] : ["q_proj", "k_proj", "v_proj"];
  return parts.map((part) => name.replace(`.${packed}.`, `.${part}.`));
}

function configOf(
  file: CheckpointView,
  settle: Settle,
  names: (parameter: string) => string,
): { config: VitConfig; positions: ImageIn["positions"] } {
  const shapeOf = (parameter: string) => file.shapeOf(names(parameter));
  const [channels, , patch] = shapeOf("patch_embed.proj.weight") as [number, number, number];
  const depth = layersIn(file, /^(?:\w+\.)?(?:encoder\.layer|layers)\.(\d+)\./);
  const hidden = shapeOf("blocks.0.mlp.fc1.weight")[0]!;
  requireSizes(file, {
    hidden_size: channels,
    num_hidden_layers: depth,
    intermediate_size: hidden,
    patch_size: patch,
  });
  const distilled = file.has(names("dist_token"));
  const head = names("head.weight");
  const classes = rowsOf(file, head);
  const { image, positions } = imageIn(file, settle, {
    name: names("pos_embed"),
    extraTokens: [distilled ? 2 : 1],
    patch,
    saysTrained: true,
    antialias: false,
  });
  const config: VitConfig = {
    name: distilled ? "deit" : "vit",
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
    classes,
    qkvBias: file.has(thirdsIn(names("blocks.0.attn.qkv.bias"))![0]!),
    classToken: "placed",
    ...(distilled && { distilled: head === "cls_classifier.weight" || "unread" }),
    pool: classes === null ? "none" : "token",
    lastNorm: "tokens",
    layerScale: false,
  };
  return { config, positions };
}
