/**
 * CLIP and SigLIP as Hugging Face's transformers saves them: one tower (no prefix, or "vision_model." and
 * "text_model."), with its projection or a classifier, or both towers in one file, of which one is asked for.
 * Configurations of both have a section for each tower, which leaves out what is the class's own.
 */
import { UnfoldError } from "../../errors.ts";
import { partOfData } from "../../weights/derived/derive.ts";
import type { Activation } from "../../dsl/activations.ts";
import {
  imageTower,
  type ImageTowerConfig,
  textTower,
  type TextTowerConfig,
  type TowerConfig,
} from "../../models/clip.ts";
import { ACTIVATION, EPSILON, HEADS, IMAGE_SIZE } from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Recognised, Settle, Source } from "../define.ts";
import { normOf } from "../norms.ts";
import type { Setting, SettingValue } from "../settings.ts";
import { headsOf, layersIn, requireConfig, requireLibrary, requireSizes, rowsOf } from "../sizes.ts";

type Tower = "image" | "text";

const TOWER: Setting<Tower> = {
  name: "tower",
  what: "tower",
  takes: "image or text",
  keys: [],
  parse: (value) => value === "image" || value === "text" ? value : undefined,
};

/** Configurations from before transformers 4.31 say 2, and mean the largest id of a text. */
const END: Setting<number | "largest"> = {
  name: "end",
  what: "id that ends a text",
  takes: "a whole number from 0, or largest",
  keys: ["eos_token_id"],
  parse: (value) => {
    if (value === "largest" || value === 2) return "largest";
    const id = typeof value === "string" && value !== "" ? Number(value) : value;
    return Number.isSafeInteger(id) && id as number >= 0 ? id as number : undefined;
  },
};

/** What transformers' classes have where a configuration does not say. */
const OWN = {
  clip: { heads: { image: 12, text: 8 }, activation: "quick_gelu", epsilon: 1e-5 },
  siglip: { heads: { image: 12, text: 12 }, activation: "gelu_tanh", epsilon: 1e-6 },
} as const;

const PARTS = {
  image: {
    prefix: "vision_model.",
    section: "vision_config",
    embedding: "patch_embedding",
    projection: "visual_projection",
  },
  text: {
    prefix: "text_model.",
    section: "text_config",
    embedding: "token_embedding",
    projection: "text_projection",
  },
} as const;

const LAYERS: readonly RegExp[] = [
  /^(vision_model\.|text_model\.)?embeddings\.(patch|token)_embedding\.weight$/,
  /^(vision_model\.|text_model\.)?encoder\.layers\.0\.self_attn\.q_proj\.weight$/,
  /^(vision_model\.|text_model\.)?encoder\.layers\.0\.layer_norm1\.weight$/,
];
/** SigLIP's image tower has this bias, its text tower this product. */
const SIGLIP = /^((vision_model\.)?embeddings\.patch_embedding\.bias|(text_model\.)?head\.weight)$/;

export const hfClip: CheckpointFormat = {
  name: "Hugging Face CLIP, a tower",
  signature: LAYERS,
  without: [SIGLIP],
  settings: [TOWER, HEADS, ACTIVATION, EPSILON, IMAGE_SIZE, END],
  read: (file, settle) => read(file, settle, "clip"),
};

export const hfSiglip: CheckpointFormat = {
  name: "Hugging Face SigLIP, a tower",
  signature: [...LAYERS, SIGLIP],
  settings: [TOWER, HEADS, ACTIVATION, EPSILON, IMAGE_SIZE],
  read: (file, settle) => read(file, settle, "siglip"),
};

/** A tower in a file, with its settings. */
interface Place {
  readonly file: CheckpointView;
  readonly settle: Settle;
  readonly family: "clip" | "siglip";
  readonly tower: Tower;
  readonly prefix: string;
}

function read(file: CheckpointView, settle: Settle, family: "clip" | "siglip"): Recognised {
  requireLibrary(file, "transformers");
  requireConfig(file, { model_type: [family, `${family}_vision_model`, `${family}_text_model`] });
  const place = placeOf(file, settle, family);
  const { tower, prefix } = place;
  const norm = normOf(place.file, place.settle, {
    scopes: new RegExp(
      `^${prefix}(encoder\\.layers\\.\\d+\\.layer_norm\\d|(pre|post)_lay(er|r)norm|final_layer_norm|head\\.layernorm)$`,
    ),
    published: { epsilon: { value: OWN[family].epsilon, why: `${family}'s own` } },
    groups: 1,
  });
  const other = PARTS[tower === "image" ? "text" : "image"];
  const classified = tower === "image" && file.has("classifier.weight");
  return {
    model: tower === "image" ? imageTower(imageOf(place), { norm }) : textTower(textOf(place), { norm }),
    locate: (parameter) => locate(parameter, prefix),
    ignored: [
      { pattern: new RegExp(`^(${other.prefix}|${other.projection}\\.)`), why: "the other tower" },
      { pattern: /^logit_(scale|bias)$/, why: "what turns a comparison into logits" },
      { pattern: /(^|\.)embeddings\.position_ids$/, why: "position ids, which are 0, 1, 2, ..." },
      ...classified
        ? [{
          pattern: family === "clip" ? /^vision_model\.post_layernorm\./ : /^vision_model\.head\./,
          why: "the pooling, which a classifier of the mean does not read",
        }]
        : [],
    ],
  };
}

/** Which tower is read, under which names, and the section of the configuration that is about it. */
function placeOf(file: CheckpointView, settle: Settle, family: "clip" | "siglip"): Place {
  const found = (["image", "text"] as const).flatMap((tower) =>
    ["", PARTS[tower].prefix].flatMap((prefix) =>
      file.has(`${prefix}embeddings.${PARTS[tower].embedding}.weight`) ? [{ tower, prefix }] : []
    )
  );
  const tower = settle(
    TOWER,
    found.length === 1
      ? {
        tensors: {
          value: found[0]!.tower,
          why: `there is no ${found[0]!.tower === "image" ? "text" : "image"} tower`,
        },
      }
      : { ask: "the file holds both" },
  );
  const { prefix } = found.find((place) => place.tower === tower)!;
  const { section } = PARTS[tower];
  const config = file.config?.[section];
  if (typeof config !== "object" || config === null) return { file, settle, family, tower, prefix };
  return {
    family,
    tower,
    prefix,
    file: { ...file, config: config as Readonly<Record<string, unknown>> },
    settle: (setting, known) =>
      settle({ ...setting, keys: setting.keys.map((key) => `${section}.${key}`) }, known),
  };
}

function commonOf({ file, settle, family, tower, prefix }: Place): TowerConfig {
  const channels = file.shapeOf(
    `${prefix}embeddings.${PARTS[tower].embedding}.weight`,
  )[tower === "image" ? 0 : 1]!;
  const depth = layersIn(file, new RegExp(`^${prefix}encoder\\.layers\\.(\\d+)\\.`));
  const hidden = file.shapeOf(`${prefix}encoder.layers.0.mlp.fc1.weight`)[0]!;
  requireSizes(file, { hidden_size: channels, num_hidden_layers: depth, intermediate_size: hidden });
  const { heads, activation } = OWN[family];
  // A configuration without a value means its class's default; without a configuration nothing is known.
  const published = <Value extends SettingValue>(value: Value) =>
    file.config === null
      ? undefined
      : { value, why: "the class's own, where its configuration does not say" };
  const projection = `${PARTS[tower].projection}.weight`;
  return {
    name: `${family}-${tower}`,
    family,
    channels,
    depth,
    heads: headsOf(settle, { channels, published: published(heads[tower]) }),
    hidden,
    activation: settle(ACTIVATION, {
      published: published<Activation>(activation),
      ...family === "siglip"
        ? { assumed: { value: activation, why: "SigLIP's own, nothing in the file says" } }
        : { ask: "CLIP is published with quick_gelu and with gelu" },
    }),
    projection: rowsOf(file, projection),
  };
}

function imageOf(place: Place): ImageTowerConfig {
  const { file, settle, family, prefix } = place;
  const [, colours, patch] = file.shapeOf(`${prefix}embeddings.patch_embedding.weight`) as number[];
  if (colours !== 3 || patch === undefined) {
    throw new UnfoldError(
      `${file.path}: ${prefix}embeddings.patch_embedding.weight is no convolution of images of 3 colours; UNfold has ` +
        "these towers for such images only",
    );
  }
  requireSizes(file, { patch_size: patch, num_channels: 3 });
  const positions = file.shapeOf(`${prefix}embeddings.position_embedding.weight`)[0]!;
  const patches = family === "clip" ? positions - 1 : positions;
  const side = Math.sqrt(patches) * patch;
  const [height, width] = settle(IMAGE_SIZE, {
    fits: (size) =>
      Math.floor(size[0]! / patch) * Math.floor(size[1]! / patch) === patches
        ? undefined
        : `${size.join("x")} pixels are not the ${patches} patches of ${patch} that have positions`,
    ...Number.isInteger(side)
      ? { assumed: { value: [side, side], why: `${patches} patches, taken as a square` } }
      : { ask: `${patches} patches are no square` },
  }) as [number, number];
  return {
    ...commonOf(place),
    image: [height, width],
    patch,
    classes: rowsOf(file, "classifier.weight"),
    pooled: family === "clip" || file.has(`${prefix}head.probe`),
  };
}

function textOf(place: Place): TextTowerConfig {
  const { file, settle, family, prefix } = place;
  const vocabulary = file.shapeOf(`${prefix}embeddings.token_embedding.weight`)[0]!;
  const positions = file.shapeOf(`${prefix}embeddings.position_embedding.weight`)[0]!;
  requireSizes(file, { vocab_size: vocabulary, max_position_embeddings: positions });
  return {
    ...commonOf(place),
    vocabulary,
    positions,
    end: family === "siglip" ? null : settle(END, {
      published: file.config === null
        ? undefined
        : { value: vocabulary - 1, why: "the last id of the vocabulary" },
      assumed: { value: "largest", why: "as OpenAI's own code has it, nothing in the file says" },
    }),
    head: family === "siglip" ? file.shapeOf(`${prefix}head.weight`)[0]! : null,
  };
}

/** PyTorch's attention with packed products, of SigLIP's pooling, has one tensor for q, k and v. */
function locate(parameter: string, prefix: string): string | Source {
  if (/^(visual_projection|text_projection|classifier)\./.test(parameter)) return parameter;
  const part = /^(head\.attention\.)([qkv])_proj\.(weight|bias)$/.exec(parameter);
  if (part === null) return prefix + parameter;
  const [, scope, letter, leaf] = part as unknown as [string, string, string, string];
  return {
    from: [`${prefix}${scope}in_proj_${leaf}`],
    make: ([packed]) => {
      const size = packed!.shape[0]! / 3;
      return partOfData(packed!, { axis: 0, start: "qkv".indexOf(letter) * size, size });
    },
  };
}
