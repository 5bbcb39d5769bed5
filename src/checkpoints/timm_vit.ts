/**
 * ViT and DeiT as timm and the papers' own repositories save them. What a file has tells the variant: the class token, the
 * length of the positions, register tokens, `fc_norm`, layer-scale, a head. Heads, epsilon, activation and pooling are
 * settled. Blocks of other kinds are refused by the part that is missing.
 */
import { UnfoldError } from "../errors.ts";
import { vit, type VitConfig } from "../models/vit.ts";
import { ACTIVATION, EPSILON, HEADS, IMAGE_SIZE, NORMALIZATION, POOL, type Pool } from "./common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle } from "./define.ts";
import { normOf } from "./norms.ts";
import type { Evidence } from "./settings.ts";
import { headsOf, layersIn } from "./sizes.ts";
import { type Architecture, architectureOf } from "./timm.ts";

export const timmVit: CheckpointFormat = {
  name: "timm ViT or DeiT",
  signature: [/^patch_embed\.proj\.weight$/, /^pos_embed$/, /^blocks\.0\.attn\.qkv\.weight$/],
  // T2T-ViT and SLAB, which have names of their own besides.
  without: [/^tokens_to_token\./, /\.attn\.dwc\./],
  settings: [HEADS, ACTIVATION, EPSILON, POOL, IMAGE_SIZE, NORMALIZATION],
  read(file, settle) {
    refuseOthers(file);
    const channels = file.shapeOf("patch_embed.proj.weight")[0]!;
    const depth = layersIn(file, /^blocks\.(\d+)\./);
    const architecture = architectureOf(file, { channels, depth });
    if (architecture?.facts.block !== undefined) {
      throw new UnfoldError(
        `${file.path} is a ${architecture.name}, whose blocks are ${architecture.facts.block}; UNfold has timm's plain Block`,
      );
    }
    const config = configOf(file, settle, { channels, depth, architecture });
    const { epsilon, normalization } = architecture ?? {};
    return {
      model: vit(config, {
        norm: normOf(file, settle, {
          scopes: /^(blocks\.\d+\.norm[12]|norm|fc_norm|norm_pre)$/,
          groups: 1,
          epsilon: 1e-6,
          published: { ...(epsilon && { epsilon }), ...(normalization && { normalization }) },
        }),
      }),
      locate: namesIn(file),
      ignored: [{ pattern: /^mask_token$/, why: "a token of pre-training" }],
    };
  },
};

/** DINOv2's own code calls registers and layer-scales otherwise than timm. */
function namesIn(file: CheckpointView): (parameter: string) => string {
  const registers = file.has("register_tokens");
  const bare = file.has("blocks.0.ls1.weight");
  const numbered = file.has("blocks.0.gamma_1");
  return (parameter) => {
    if (parameter === "reg_token" && registers) return "register_tokens";
    const scale = /^(blocks\.\d+\.)ls([12])\.gamma$/.exec(parameter);
    if (scale === null) return parameter;
    if (bare) return `${scale[1]}ls${scale[2]}.weight`;
    return numbered ? `${scale[1]}gamma_${scale[2]}` : parameter;
  };
}

/** Parts of networks with the same names and more, and what they are. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^dist_token$/, "a distilled DeiT, with a second token and head"],
  [/^attn_pool\./, "pooled by attention (global_pool map)"],
  [/^patch_embed\.norm\./, "normalized behind the embedding of patches (embed_norm_layer)"],
  [/\.attn\.[qk]_norm\./, "with normalized queries and keys (qk_norm)"],
  [/\.attn\.norm\./, "with a normalization inside the attention (scale_attn_norm)"],
  [/\.mlp\.norm\./, "with a normalization inside the MLP (scale_mlp_norm)"],
  [/\.mlp\.(fc1_[gx]|w12|w[123])\./, "with gated MLPs (SwiGLU)"],
  [/\.attn\.(q|v)_bias$/, "with biases of queries and values alone (qkv_bias in parts)"],
  [/\.attns\.|\.ffns\./, "of blocks with several attentions side by side (ParallelThingsBlock)"],
  [/\.norm_mlp\.|\.in_proj\./, "of parallel blocks"],
  [/relative_position_bias_table$|rel_pos/, "with relative positions"],
  [/^blocks\.\d+\.attn\.gate/, "with gated attention"],
];

function refuseOthers(file: CheckpointView): void {
  for (const [pattern, what] of OTHERS) {
    const name = file.names().find((name) => name.search(pattern) >= 0);
    if (name !== undefined) {
      throw new UnfoldError(`${file.path} is a ViT ${what}: ${name}. UNfold does not have this network yet`);
    }
  }
  const [inner, outer] = [
    file.shapeOf("blocks.0.mlp.fc1.weight")[0]!,
    file.shapeOf("blocks.0.mlp.fc2.weight")[1]!,
  ];
  if (inner !== 2 * outer || file.shapeOf("blocks.0.mlp.fc2.weight")[0] === inner) return;
  throw new UnfoldError(
    `${file.path} is a ViT with gated MLPs (SwiGLU, packed): blocks.0.mlp.fc1.weight gives ${inner} channels and ` +
      `fc2.weight takes ${outer}. UNfold does not have this network yet`,
  );
}

/** Head counts of published networks by channels, depth and width of the MLP, where these have one alone. */
const PUBLISHED_HEADS: Readonly<Record<string, number>> = {
  "192, 12, 768": 3,
  "768, 12, 3072": 12,
  "768, 8, 2304": 8,
  "1024, 24, 4096": 16,
  "1280, 32, 5120": 16,
};

function configOf(
  file: CheckpointView,
  settle: Settle,
  { channels, depth, architecture }: {
    channels: number;
    depth: number;
    architecture: Architecture | undefined;
  },
): VitConfig {
  const patch = file.shapeOf("patch_embed.proj.weight")[2]!;
  const hidden = file.shapeOf("blocks.0.mlp.fc1.weight")[0]!;
  const usual = PUBLISHED_HEADS[[channels, depth, hidden].join(", ")];
  const tokens = tokensOf(file);
  const image = settle(IMAGE_SIZE, imageKnown(file, { ...tokens, patch, architecture }));
  const [height, width] = image as readonly [number, number];
  const cells = Math.floor(height / patch) * Math.floor(width / patch);
  const placed = file.shapeOf("pos_embed")[1]! - cells;
  const { classTokens, registers } = tokens;
  if (![0, classTokens, classTokens + registers].includes(placed)) {
    throw new UnfoldError(
      `${file.path}: pos_embed has ${
        file.shapeOf("pos_embed")[1]
      } positions, but an image of ${height}x${width} has ` +
        `${cells} patches of ${patch}x${patch}: it was trained at another size`,
    );
  }
  const lastNorm = file.has("fc_norm.weight") ? "pooled" : file.has("norm.weight") ? "tokens" : "none";
  const pool = settle(POOL, poolKnown({ lastNorm, classTokens, architecture }));
  if (pool !== "token" && pool !== "avg") {
    throw new UnfoldError(
      `${file.path} pools by ${JSON.stringify(pool)}; UNfold has ViTs that pool by token or avg`,
    );
  }
  return {
    name: "vit",
    image: height === width ? height : [height, width],
    patch,
    channels,
    depth,
    heads: headsOf(settle, {
      channels,
      published: architecture?.heads,
      assumed: usual === undefined ? undefined : {
        value: usual,
        why: `published networks of ${channels} channels and ${depth} blocks have so many`,
      },
      ask: channels === 384 ? "384 channels are published with 6 and with 12 heads" : undefined,
    }),
    hidden,
    classes: file.has("head.weight") ? file.shapeOf("head.weight")[0]! : null,
    qkvBias: file.has("blocks.0.attn.qkv.bias"),
    projBias: file.has("blocks.0.attn.proj.bias"),
    patchBias: file.has("patch_embed.proj.bias"),
    classToken: classTokens === 0 ? "none" : placed > 0 ? "placed" : "unplaced",
    ...(registers > 0 && { registers: { count: registers, placed: placed === classTokens + registers } }),
    pool: pool === "token" ? "token" : "mean",
    lastNorm,
    layerScale: ["ls1.gamma", "ls1.weight", "gamma_1"].some((name) => file.has(`blocks.0.${name}`)),
    preNorm: file.has("norm_pre.weight"),
    activation: settle(ACTIVATION, {
      published: architecture?.activation,
      assumed: { value: "gelu", why: "timm's usual one, nothing in the file says" },
    }),
  };
}

interface Tokens {
  readonly classTokens: 0 | 1;
  readonly registers: number;
}

function tokensOf(file: CheckpointView): Tokens {
  const register = ["reg_token", "register_tokens"].find((name) => file.has(name));
  return {
    classTokens: file.has("cls_token") ? 1 : 0,
    registers: register === undefined ? 0 : file.shapeOf(register)[1]!,
  };
}

/** A square of patches where the positions are one beside the tokens that may have some. */
function imageKnown(
  file: CheckpointView,
  { classTokens, registers, patch, architecture }: Tokens & {
    patch: number;
    architecture: Architecture | undefined;
  },
): { published?: Evidence<readonly number[]>; assumed?: Evidence<readonly number[]>; ask: string } {
  const positions = file.shapeOf("pos_embed")[1]!;
  const cells = [...new Set([0, classTokens, classTokens + registers])].map((placed) => positions - placed);
  const square = cells.find((count) => Number.isInteger(Math.sqrt(count)));
  // What is published of the architecture counts only where the positions are as many: it may be fine-tuned at another size.
  const fits = ([height, width]: readonly number[]) =>
    cells.includes(Math.floor(height! / patch) * Math.floor(width! / patch));
  const side = square === undefined ? 0 : Math.sqrt(square) * patch;
  return {
    ...(architecture && fits(architecture.image.value) && { published: architecture.image }),
    ...(square !== undefined &&
      { assumed: { value: [side, side], why: `${square} patches, taken as a square` } }),
    ask: `pos_embed has ${positions} positions, which are not those of a square`,
  };
}

function poolKnown(
  { lastNorm, classTokens, architecture }: Pick<VitConfig, "lastNorm"> & {
    classTokens: 0 | 1;
    architecture: Architecture | undefined;
  },
): { published?: Evidence<Pool>; assumed?: Evidence<Pool>; ask: string } {
  const assumed: Evidence<Pool> | undefined = classTokens === 0
    ? { value: "avg", why: "there is no class token" }
    : lastNorm === "pooled"
    ? { value: "avg", why: "fc_norm stands behind the pooling" }
    : lastNorm === "tokens"
    ? { value: "token", why: "there is a class token and no fc_norm" }
    : undefined;
  return {
    ...(architecture && { published: architecture.pool }),
    ...(assumed && { assumed }),
    ask: "there is a class token, and no last normalization that would tell: token or avg",
  };
}
