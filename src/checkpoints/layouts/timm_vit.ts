/**
 * ViT and DeiT as timm and the papers' own repositories save them. What a file has tells the variant: the class token, the
 * length of the positions, register tokens, `fc_norm`, layer-scale, a head. Heads, epsilon, activation and pooling are
 * settled. Blocks of other kinds are refused by the part that is missing.
 */
import { UnfoldError } from "../../errors.ts";
import { filledData, joinedData } from "../../weights/derived/derive.ts";
import type { TensorData } from "../../ir/data.ts";
import { vit, type VitConfig } from "../../models/vit.ts";
import {
  ACTIVATION,
  EPSILON,
  GATE,
  HEADS,
  IMAGE_SIZE,
  NORMALIZATION,
  PLACEMENT,
  POOL,
  type Pool,
  POOL_PREFIX,
  QK_SCALE,
  TRAINED_SIZE,
} from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Recognised, Settle, Source } from "../define.ts";
import { normOf } from "../norms.ts";
import { type GridSize, resampledPositions } from "../positions.ts";
import { renamed, type Renaming } from "../rename.ts";
import { type Evidence, type Known, saidOf } from "../settings.ts";
import { hasScope, headsOf, layersIn, qkScaleOf } from "../sizes.ts";
import { type Architecture, architectureOf } from "./timm.ts";

export const timmVit: CheckpointFormat = {
  name: "timm ViT or DeiT",
  // Blocks of other kinds among them, which are refused by name.
  signature: [
    /^patch_embed\.proj\.weight$/,
    /^pos_embed$/,
    /^blocks\.0\.attn\.qkv\.weight$|^blocks\.0\.attns\.0\.attn\.qkv\.weight$|^blocks\.0\.in_proj\.weight$/,
  ],
  // T2T-ViT and SLAB, which have names of their own besides.
  without: [/^tokens_to_token\./, /\.attn\.dwc\./],
  settings: [
    HEADS,
    QK_SCALE,
    ACTIVATION,
    EPSILON,
    POOL,
    POOL_PREFIX,
    IMAGE_SIZE,
    TRAINED_SIZE,
    NORMALIZATION,
    PLACEMENT,
    GATE,
  ],
  read(file, settle) {
    refuseOthers(file);
    const channels = file.shapeOf("patch_embed.proj.weight")[0]!;
    const depth = layersIn(file, /^blocks\.(\d+)\./);
    const architecture = architectureOf(file, { channels, depth });
    if (architecture?.facts.block !== undefined && architecture.facts.block !== "ResPostBlock") {
      throw new UnfoldError(
        `${file.path} is a ${architecture.name}, whose blocks are ${architecture.facts.block}; UNfold has timm's plain Block`,
      );
    }
    const { config, positions } = configOf(file, settle, { channels, depth, architecture });
    const { epsilon, normalization } = architecture ?? {};
    return {
      model: vit(config, {
        norm: normOf(file, settle, {
          scopes:
            /^(blocks\.\d+\.(norm[12]|(attn|mlp)\.norm)|norm|fc_norm|norm_pre|patch_embed\.norm|attn_pool\.norm)$/,
          groups: 1,
          epsilon: 1e-6,
          published: { ...(epsilon && { epsilon }), ...(normalization && { normalization }) },
        }),
      }),
      locate: placesIn(file, positions),
      ignored: [{ pattern: /^mask_token$/, why: "a token of pre-training" }],
    };
  },
};

/** timm's name for layer-scale, and other code's. */
const LAYER_SCALES = ["ls1.gamma", "ls1.weight", "ls1.scale", "ls1", "gamma_1"] as const;

/** The same parts under other names: DINOv2's own code, DINOv3's, BEiT's. */
const OTHER_NAMES: readonly (readonly [has: string, ...Renaming])[] = [
  ["register_tokens", /^reg_token$/, "register_tokens"],
  ["blocks.0.ls1.weight", /\.(ls[12])\.gamma$/, ".$1.weight"],
  ["blocks.0.ls1.scale", /\.(ls[12])\.gamma$/, ".$1.scale"],
  ["blocks.0.ls1", /\.(ls[12])\.gamma$/, ".$1"],
  ["blocks.0.gamma_1", /\.ls([12])\.gamma$/, ".gamma_$1"],
  ["blocks.0.mlp.w12.weight", /\.mlp\.fc1\./, ".mlp.w12."],
  ["blocks.0.mlp.w1.weight", /\.mlp\.fc1_g\./, ".mlp.w1."],
  ["blocks.0.mlp.w1.weight", /\.mlp\.fc1_x\./, ".mlp.w2."],
  ["blocks.0.mlp.w3.weight", /\.mlp\.fc2\./, ".mlp.w3."],
];

/** Where parameters lie, and positions of another size than the file has. */
function placesIn(file: CheckpointView, positions: Source | undefined): NonNullable<Recognised["locate"]> {
  const renamings = OTHER_NAMES.flatMap(([has, ...renaming]) => file.has(has) ? [renaming] : []);
  const inParts = file.has("blocks.0.attn.q_bias");
  return (parameter) => {
    if (parameter === "pos_embed" && positions !== undefined) return positions;
    if (!inParts || !parameter.endsWith(".attn.qkv.bias")) return renamed(parameter, renamings);
    const [q, v] = ["q", "v"].map((part) => parameter.replace("qkv.bias", `${part}_bias`));
    // Keys have none: it would add the same to all logits of a query.
    return {
      from: [q!, v!],
      make: ([ofQ, ofV]) => joinedData([ofQ!, filledData(ofQ!.shape, 0), ofV!], 0),
    };
  };
}

/** Parts of networks with the same names and more, and what they are. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [
    /^attn_pool\.(proj_prr|pos_embed|[qk]_norm\.)/,
    "with another attention in its pooling than AttentionPoolLatent's",
  ],
  [/lambda_[qk][12]$/, "with differential attention"],
  [/\.attn\.[qk]_norm\./, "with normalized queries and keys (qk_norm)"],
  [/\.attns\.|\.ffns\./, "with several attentions side by side in a block (ParallelThingsBlock)"],
  [/\.norm_mlp\.|\.in_proj\./, "with attention and MLP side by side in a block (ParallelScalingBlock)"],
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
}

/** Head counts of published networks by channels, depth and width of the MLP, where these have one alone. */
const PUBLISHED_HEADS: Readonly<Record<string, number>> = {
  "192, 12, 768": 3,
  "768, 12, 3072": 12,
  "768, 8, 2304": 8,
  "1024, 24, 4096": 16,
  "1280, 32, 5120": 16,
};

/** What timm called vit_small_patch16_224 before 2021; its published weights were trained with another factor. */
const OLD_SMALL: Known<number> = {
  ask:
    `timm gave the first vit_small_patch16_224 768 ** -0.5 = ${
      768 ** -0.5
    } where it loaded published weights, ` +
    `and 96 ** -0.5 = ${96 ** -0.5} elsewhere`,
};

function configOf(
  file: CheckpointView,
  settle: Settle,
  { channels, depth, architecture }: {
    channels: number;
    depth: number;
    architecture: Architecture | undefined;
  },
): { config: VitConfig; positions: Source | undefined } {
  const patch = file.shapeOf("patch_embed.proj.weight")[2]!;
  const { gate, hidden } = mlpIn(file, settle, architecture);
  const sizes = [channels, depth, hidden].join(", ");
  const usual = PUBLISHED_HEADS[sizes];
  const tokens = tokensOf(file);
  const { classTokens, registers } = tokens;
  const { image, placed, positions } = imageIn(file, settle, { ...tokens, patch, architecture });
  const [height, width] = image;
  const lastNorm = hasScope(file, "fc_norm") ? "pooled" : hasScope(file, "norm") ? "tokens" : "none";
  const pool = settle(POOL, poolKnown(file, { lastNorm, classTokens, architecture }));
  const prefixed = classTokens + registers > 0 && pool !== "token" && pool !== "none";
  const qkvBias = file.has("blocks.0.attn.qkv.bias") || file.has("blocks.0.attn.q_bias");
  const config: VitConfig = {
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
    ...qkScaleOf(
      file,
      settle,
      sizes === "768, 8, 2304" && architecture === undefined ? OLD_SMALL : undefined,
    ),
    hidden,
    ...(gate && { gate }),
    classes: file.has("head.weight") ? file.shapeOf("head.weight")[0]! : null,
    qkvBias,
    projBias: file.has("blocks.0.attn.proj.bias"),
    mlpBias: ["fc2", "w3"].some((name) => file.has(`blocks.0.mlp.${name}.bias`)),
    patchBias: file.has("patch_embed.proj.bias"),
    classToken: classTokens === 0 ? "none" : placed > 0 ? "placed" : "unplaced",
    distilled: classTokens === 2,
    ...(registers > 0 && { registers: { count: registers, placed: placed === classTokens + registers } }),
    pool: pool === "avg" ? "mean" : pool,
    poolsPrefix: prefixed && settle(POOL_PREFIX, {
      published: architecture?.poolsPrefix,
      assumed: { value: false, why: "timm's usual pooling, nothing in the file says" },
    }),
    ...(pool === "map" && { poolHidden: file.shapeOf("attn_pool.mlp.fc1.weight")[0]! }),
    lastNorm,
    layerScale: LAYER_SCALES.some((name) => file.has(`blocks.0.${name}`)),
    preNorm: file.has("norm_pre.weight"),
    patchNorm: file.has("patch_embed.norm.weight"),
    innerNorms: file.has("blocks.0.attn.norm.weight") && file.has("blocks.0.mlp.norm.weight"),
    placement: settle(PLACEMENT, placementKnown({ classTokens, lastNorm, qkvBias, architecture })),
    activation: settle(ACTIVATION, {
      published: architecture?.activation,
      assumed: gate === undefined
        ? { value: "gelu", why: "timm's usual one, nothing in the file says" }
        : { value: "silu", why: "the usual one of gated MLPs (SwiGLU), nothing in the file says" },
    }),
  };
  return { config, positions };
}

/** The MLP's gate is its own product, or a half of the first, which is then twice as wide as the second takes. */
function mlpIn(
  file: CheckpointView,
  settle: Settle,
  architecture: Architecture | undefined,
): { gate?: NonNullable<VitConfig["gate"]>; hidden: number } {
  const mlp = "blocks.0.mlp";
  const second = ["fc2", "w3"].find((name) => file.has(`${mlp}.${name}.weight`)) ?? "fc2";
  const [outputs, hidden] = file.shapeOf(`${mlp}.${second}.weight`) as [number, number];
  if (["fc1_g", "w1"].some((name) => file.has(`${mlp}.${name}.weight`))) return { gate: "apart", hidden };
  const first = file.has(`${mlp}.w12.weight`) ? "w12" : "fc1";
  const width = file.shapeOf(`${mlp}.${first}.weight`)[0]!;
  // A second product that is stored the other way round is no sign of a gate.
  if (width !== 2 * hidden || outputs === width) return { hidden: width };
  const gate = settle(GATE, {
    published: architecture?.gate,
    assumed: { value: "first", why: "as in DINOv2's SwiGLU, nothing in the file says" },
  });
  return { gate, hidden };
}

/** Residual post-norm is published of ViT-B without class token and biases of q, k and v, and has no tensor of its own. */
function placementKnown(
  { classTokens, lastNorm, qkvBias, architecture }: {
    classTokens: number;
    lastNorm: VitConfig["lastNorm"];
    qkvBias: boolean;
    architecture: Architecture | undefined;
  },
): Known<"pre" | "res-post"> {
  if (architecture !== undefined) return { published: architecture.placement };
  return classTokens === 0 && lastNorm === "pooled" && !qkvBias
    ? { ask: "vit_base_patch16_rpn_224, with normalizations behind its sublayers, has the same tensors" }
    : { assumed: { value: "pre", why: "timm's usual block, nothing in the file says" } };
}

interface Tokens {
  readonly classTokens: 0 | 1 | 2;
  readonly registers: number;
}

function tokensOf(file: CheckpointView): Tokens {
  const register = ["reg_token", "register_tokens"].find((name) => file.has(name));
  return {
    classTokens: file.has("cls_token") ? file.has("dist_token") ? 2 : 1 : 0,
    registers: register === undefined ? 0 : file.shapeOf(register)[1]!,
  };
}

interface ImageIn {
  readonly image: GridSize;
  /** Positions of tokens in front of the patches. */
  readonly placed: number;
  /** Where the file's are of another grid. */
  readonly positions: Source | undefined;
}

/** The size of images; where positions were learned at another one, they are interpolated. */
function imageIn(
  file: CheckpointView,
  settle: Settle,
  { classTokens, registers, patch, architecture }: Tokens & {
    patch: number;
    architecture: Architecture | undefined;
  },
): ImageIn {
  const positions = file.shapeOf("pos_embed")[1]!;
  const cells = [...new Set([0, classTokens, classTokens + registers])].map((placed) => positions - placed);
  const gridOf = (size: readonly number[]) =>
    size.map((side) => Math.floor(side / patch)) as unknown as GridSize;
  const count = (size: readonly number[]) => gridOf(size)[0] * gridOf(size)[1];
  const fits = (size: readonly number[] | undefined) => size !== undefined && cells.includes(count(size));
  const squares = cells.filter((cell) => cell > 0 && Number.isInteger(Math.sqrt(cell)));
  const square = squares.length === 1 ? squares[0] : undefined;
  const side = square === undefined ? 0 : Math.sqrt(square) * patch;
  // What is published of the architecture counts only where the positions are as many: it may be fine-tuned at another size.
  const published = fits(architecture?.image.value) ? architecture!.image : undefined;
  const assumed = square === undefined
    ? undefined
    : { value: [side, side], why: `${square} patches, taken as a square` };
  const ask = squares.length > 1
    ? `pos_embed has ${positions} positions, which are those of ${
      squares.map((cell) => `${cell} patches`).join(" and of ")
    }, by whether the ${classTokens + registers} other tokens have one`
    : `pos_embed has ${positions} positions, which are not those of a square`;
  const image = settle(IMAGE_SIZE, { published, assumed, ask, chosen: true }) as GridSize;
  const said = saidOf(file, IMAGE_SIZE);
  if (fits(image) && (said === undefined || String(gridOf(said.value)) === String(gridOf(image)))) {
    return { image, placed: positions - count(image), positions: undefined };
  }
  const trained = settle(TRAINED_SIZE, {
    published: said !== undefined && fits(said.value) ? said : published,
    assumed: assumed && {
      ...assumed,
      why: `${assumed.why}; positions are interpolated to ${gridOf(image).join("x")} patches`,
    },
    ask,
    fits: (size) =>
      fits(size)
        ? undefined
        : `pos_embed has ${positions} positions, but an image of ${size.join("x")} has ${
          count(size)
        } patches of ` +
          `${patch}x${patch}`,
  });
  const placed = positions - count(trained);
  const [from, to] = [gridOf(trained), gridOf(image)];
  if (String(from) === String(to)) return { image, placed, positions: undefined };
  const make = ([data]: readonly TensorData[]) => resampledPositions(data!, { prefix: placed, from, to });
  return { image, placed, positions: { from: ["pos_embed"], make } };
}

function poolKnown(
  file: CheckpointView,
  { lastNorm, classTokens, architecture }: Pick<VitConfig, "lastNorm"> & {
    classTokens: number;
    architecture: Architecture | undefined;
  },
): Known<Pool> {
  const proven: Evidence<Pool> | undefined = file.has("attn_pool.latent")
    ? { value: "map", why: "attn_pool.latent is its query" }
    : classTokens === 2
    ? { value: "token", why: "dist_token is the second one, beside cls_token" }
    : undefined;
  const assumed: Evidence<Pool> | undefined = classTokens === 0
    ? { value: "avg", why: "there is no class token" }
    : lastNorm === "pooled"
    ? { value: "avg", why: "fc_norm stands behind the pooling" }
    : lastNorm === "tokens"
    ? { value: "token", why: "there is a class token and no fc_norm" }
    : undefined;
  return {
    tensors: proven,
    published: architecture?.pool,
    assumed,
    ask: "there is a class token, and no last normalization that would tell: token or avg",
    fits: (pool) =>
      pool === "map" && proven === undefined
        ? "it has no attn_pool to pool by"
        : pool === "token" && classTokens === 0
        ? "it has no class token to pool by"
        : undefined,
  };
}
