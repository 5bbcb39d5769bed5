/**
 * DINOv2, with registers or without, and DINOv3's ViT as Hugging Face saves them: q, k and v apart,
 * layer-scales, gated MLPs of the larger ones. The output is `last_hidden_state`, or the logits of a
 * classifier, which reads the class token beside the mean of the patches. DINOv2's positions are those of a
 * square, and are interpolated for other images as transformers does: with registers antialiased, else not.
 */
import { vit, type VitConfig } from "../../models/vit.ts";
import { filledData, joinedData } from "../../weights/derived/derive.ts";
import { ACTIVATION, EPSILON, HEADS, IMAGE_SIZE, ROPE_THETA, TRAINED_SIZE } from "../common_settings.ts";
import { type CheckpointFormat, type CheckpointView, type Settle, type Source, stacked } from "../define.ts";
import { normOf } from "../norms.ts";
import { renamed, type Renaming } from "../rename.ts";
import {
  headsOf,
  headsOf64,
  layersIn,
  requireConfig,
  requireLibrary,
  requireSizes,
  ropeTheta,
  rowsOf,
} from "../sizes.ts";
import { thirdsIn } from "./hf_vit.ts";
import { type ImageIn, imageIn } from "./vit_image.ts";

const LAYER = /^(?:(?:dinov2\w*\.)?encoder\.|model\.)?layer\.(\d+)\./;

export const hfDino: CheckpointFormat = {
  name: "Hugging Face DINOv2 or DINOv3",
  signature: [
    /(^|\.)embeddings\.cls_token$/,
    /(^|\.)layer\.0\.layer_scale1\.lambda1$/,
  ],
  settings: [HEADS, ACTIVATION, EPSILON, IMAGE_SIZE, TRAINED_SIZE, ROPE_THETA],
  read(file, settle) {
    requireLibrary(file, "transformers");
    requireConfig(file, { model_type: ["dinov2", "dinov2_with_registers", "dinov3_vit"], num_channels: [3] });
    const names = namesIn(file);
    const { config, positions } = configOf(file, settle, names);
    return {
      model: vit(config, {
        norm: normOf(file, settle, {
          scopes: /(^|\.)(norm[12]?|layernorm)$/,
          epsilon: names.rotary ? 1e-5 : 1e-6,
          groups: 1,
        }),
      }),
      locate: (parameter) => {
        const name = renamed(parameter, names.renamings);
        const parts = thirdsIn(name);
        return parts ? packed(file, parts) : parameter === "pos_embed" && positions || name;
      },
      ignored: [
        { pattern: /embeddings\.mask_token$/, why: "a token of pre-training" },
        ...config.registers ? [] : [{
          pattern: /embeddings\.register_tokens$/,
          why: "no token, where the configuration wants none",
        }],
        { pattern: /^rope_embeddings\.inv_freq$/, why: "rates of the rotations, which are computed" },
      ],
    };
  },
};

interface Names {
  /** In front of what is no classifier. */
  readonly base: string;
  /** Of the first layer. */
  readonly first: string;
  /** DINOv3, which has no learned positions. */
  readonly rotary: boolean;
  readonly gate?: "apart" | "first";
  readonly renamings: readonly Renaming[];
}

function namesIn(file: CheckpointView): Names {
  const end = "embeddings.cls_token";
  const base = file.names().find((name) => name.endsWith(end))!.slice(0, -end.length);
  const layers =
    ["model.layer.", "layer.", `${base}encoder.layer.`].find((at) => file.has(`${at}0.norm1.weight`)) ??
      `${base}encoder.layer.`;
  const first = `${layers}0.`;
  const one = (scope: string, ...places: readonly string[]) =>
    `${scope}${places.find((name) => file.has(`${scope}${name}.weight`)) ?? places[0]!}`;
  const inner = (...places: readonly string[]) => `.${one(first, ...places).slice(first.length)}.`;
  const gate = file.has(`${first}mlp.gate_proj.weight`)
    ? "apart"
    : file.has(`${first}mlp.weights_in.weight`)
    ? "first"
    : undefined;
  return {
    base,
    first,
    rotary: !file.has(`${base}embeddings.position_embeddings`),
    ...(gate && { gate }),
    renamings: [
      [
        /^patch_embed\.proj\./,
        `${one(`${base}embeddings.`, "patch_embeddings.projection", "patch_embeddings")}.`,
      ],
      [/^(cls_token|reg_token|pos_embed)$/, `${base}embeddings.$1`],
      [/\.reg_token$/, ".register_tokens"],
      [/\.pos_embed$/, ".position_embeddings"],
      [/^norm\./, `${one(base, "layernorm", "norm")}.`],
      [/^head\./, "classifier."],
      [/^blocks\./, layers],
      [/\.ls([12])\.gamma$/, ".layer_scale$1.lambda1"],
      [
        /\.attn\.qkv\./,
        inner("attention.q_proj", "attention.attention.query").replace(/q(?=_proj)|query/, "qkv"),
      ],
      [/\.attn\.proj\./, inner("attention.o_proj", "attention.output.dense")],
      [/\.mlp\.fc1_g\./, ".mlp.gate_proj."],
      [/\.mlp\.fc1_x\./, ".mlp.up_proj."],
      [/\.mlp\.fc1\./, inner("mlp.fc1", "mlp.up_proj", "mlp.weights_in")],
      [/\.mlp\.fc2\./, inner("mlp.fc2", "mlp.down_proj", "mlp.weights_out")],
    ],
  };
}

/** The packed product of q, k and v; DINOv3's keys have no bias: softmax would not see it. */
function packed(file: CheckpointView, parts: readonly string[]): Source {
  const there = parts.filter((part) => file.has(part));
  if (there.length === 3 || there.length === 0) return stacked(parts);
  return {
    from: there,
    make: (found) =>
      joinedData(parts.map((part) => found[there.indexOf(part)] ?? filledData(found[0]!.shape, 0)), 0),
  };
}

function configOf(
  file: CheckpointView,
  settle: Settle,
  { base, first, rotary, gate, renamings }: Names,
): { config: VitConfig; positions: ImageIn["positions"] } {
  const shapeOf = (parameter: string) => file.shapeOf(renamed(parameter, renamings));
  const [channels, , patch] = shapeOf("patch_embed.proj.weight") as [number, number, number];
  const depth = layersIn(file, LAYER);
  const hidden = shapeOf("blocks.0.mlp.fc2.weight")[1]!;
  requireSizes(file, {
    hidden_size: channels,
    num_hidden_layers: depth,
    patch_size: patch,
    ...(rotary && { intermediate_size: hidden }),
  });
  const registers = file.has(`${base}embeddings.register_tokens`) ? shapeOf("reg_token")[1]! : 0;
  const { image, positions } = imageIn(file, settle, {
    name: rotary ? null : renamed("pos_embed", renamings),
    extraTokens: [1],
    patch,
    saysTrained: true,
    square: true,
    antialias: registers > 0,
  });
  const classes = rowsOf(file, "classifier.weight");
  const config: VitConfig = {
    name: rotary ? "dinov3" : "dinov2",
    image,
    patch,
    channels,
    depth,
    heads: headsOf(settle, {
      channels,
      // DINOv3's 7B has heads of 128 channels.
      assumed: channels % 64 === 0 && channels < 4096 ? headsOf64(channels) : undefined,
    }),
    hidden,
    ...(gate && { gate }),
    // DINOv2's gated MLPs have SiLU, whatever hidden_act says of the others.
    activation: gate !== undefined && !rotary ? "silu" : settle(ACTIVATION, {
      assumed: gate === undefined
        ? { value: "gelu", why: "the usual one, nothing in the file says" }
        : { value: "silu", why: "the usual one of gated MLPs (SwiGLU), nothing in the file says" },
    }),
    classes,
    qkvBias: ["q_proj", "attention.query"].some((name) => file.has(`${first}attention.${name}.bias`)),
    projBias: ["o_proj", "output.dense"].some((name) => file.has(`${first}attention.${name}.bias`)),
    mlpBias: file.has(renamed("blocks.0.mlp.fc2.bias", renamings)),
    classToken: rotary ? "unplaced" : "placed",
    positions: rotary ? { theta: ropeTheta(settle) } : "learned",
    ...(registers > 0 && { registers: { count: registers, placed: false } }),
    pool: classes === null ? "none" : "token-mean",
    lastNorm: "tokens",
    layerScale: true,
  };
  return { config, positions };
}
