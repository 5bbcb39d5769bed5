/**
 * ViT and DeiT as timm and the papers' own repositories save them. What a file has tells the variant: the
 * class token, the length of the positions, register tokens, `fc_norm`, layer-scale, a head. Heads, epsilon,
 * activation and pooling are settled. Also DINOv3's, which timm has as `Eva`: rotations in place of learned
 * positions.
 */
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
  POSITIONS,
  QK_SCALE,
  ROPE_THETA,
  TRAINED_SIZE,
} from "../common_settings.ts";
import type { CheckpointFormat, CheckpointView, Settle, Source } from "../define.ts";
import { normOf } from "../norms.ts";
import type { Evidence, Known } from "../settings.ts";
import { hasScope, headsOf, layersIn, qkScaleOf, requireConfig, ropeTheta, rowsOf } from "../sizes.ts";
import { type Architecture, architectureOf, argumentsOf } from "./timm.ts";
import { blockIn, mlpIn, placesIn, refuseOthers, requireBlock } from "./timm_vit_blocks.ts";
import { imageIn } from "./vit_image.ts";

export const timmVit: CheckpointFormat = {
  name: "timm ViT or DeiT",
  signature: [
    /^patch_embed\.proj\.weight$/,
    /^blocks\.0\./,
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
    POSITIONS,
    ROPE_THETA,
    GATE,
  ],
  read(file, settle) {
    refuseOthers(file);
    const channels = file.shapeOf("patch_embed.proj.weight")[0]!;
    const depth = layersIn(file, /^blocks\.(\d+)\./);
    const architecture = architectureOf(file, { channels, depth });
    const { config, positions } = configOf(file, settle, { channels, depth, architecture });
    const { epsilon, normalization } = architecture ?? {};
    return {
      model: vit(config, {
        norm: normOf(file, settle, {
          scopes:
            /^(blocks\.\d+\.(norm[12]|in_norm|(attn|mlp)\.norm|(attn\.)?[qk]_norm|(attns|ffns)\.\d+\.(norm|attn\.[qk]_norm))|norm|fc_norm|norm_pre|patch_embed\.norm|attn_pool\.norm)$/,
          groups: 1,
          epsilon: typeof config.positions === "object" ? 1e-5 : 1e-6,
          published: { ...(epsilon && { epsilon }), ...(normalization && { normalization }) },
        }),
      }),
      locate: placesIn(file, positions),
      ignored: [{ pattern: /^mask_token$/, why: "a token of pre-training" }],
    };
  },
};

/** Arguments of timm's Eva with which the rotations are not DINOv3's as UNfold has them. */
const OTHER_ROTATIONS: Readonly<Record<string, readonly unknown[]>> = {
  rope_rotate_half: [true],
  rope_grid_indexing: ["ij"],
  rope_grid_offset: [0],
  rope_mrope_section: [null],
};

/** Eva may have rotations, which leave no tensor, for positions; it shares `gamma_1` with DeiT III. */
function positionsOf(
  file: CheckpointView,
  settle: Settle,
  architecture: Architecture | undefined,
): NonNullable<VitConfig["positions"]> {
  const args = { ...file, config: argumentsOf(file) };
  const learned = file.has("pos_embed");
  if (learned) requireConfig(args, { use_rot_pos_emb: [false, null] });
  if (learned && !file.has("blocks.0.gamma_1")) return "learned";
  const positions = settle(POSITIONS, {
    published: architecture?.positions,
    ...learned
      ? { assumed: { value: "learned", why: "pos_embed is there; rotations besides would leave no tensor" } }
      : { ask: "it has no pos_embed: none, or rotations as DINOv3's" },
    fits: (value) =>
      (value === "learned") === learned ? undefined : `${learned ? "it has" : "it has no"} learned positions`,
  });
  if (positions !== "dinov3") return positions;
  requireConfig(args, OTHER_ROTATIONS);
  return { theta: ropeTheta(settle) };
}

/** Tokens in front of the patches. */
function tokensOf(file: CheckpointView): { classTokens: 0 | 1 | 2; registers: number } {
  const register = ["reg_token", "register_tokens"].find((name) => file.has(name));
  return {
    classTokens: file.has("cls_token") ? file.has("dist_token") ? 2 : 1 : 0,
    registers: register === undefined ? 0 : file.shapeOf(register)[1]!,
  };
}

/** Head counts of published networks by channels, depth and width of the MLP, where these have one alone. */
const PUBLISHED_HEADS: Readonly<Record<string, number>> = {
  "192, 12, 768": 3,
  "768, 12, 3072": 12,
  "768, 8, 2304": 8,
  "1024, 24, 4096": 16,
  "1280, 32, 5120": 16,
};

/** timm had another vit_small_patch16_224 before 2021, trained with another factor on the logits. */
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
  const { classTokens, registers } = tokensOf(file);
  const { image, placed, positions } = imageIn(file, settle, {
    name: file.has("pos_embed") ? "pos_embed" : null,
    extraTokens: [0, classTokens, classTokens + registers],
    patch,
    published: architecture?.image,
    antialias: true,
  });
  const lastNorm = hasScope(file, "fc_norm") ? "pooled" : hasScope(file, "norm") ? "tokens" : "none";
  const pool = settle(POOL, poolKnown(file, { lastNorm, classTokens, architecture }));
  const prefixed = classTokens + registers > 0 && pool !== "token" && pool !== "none";
  const blocks = blockIn(file);
  requireBlock(file, blocks, architecture);
  const config: VitConfig = {
    name: "vit",
    image,
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
    classes: rowsOf(file, "head.weight"),
    ...blocks,
    positions: positionsOf(file, settle, architecture),
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
    preNorm: file.has("norm_pre.weight"),
    patchNorm: file.has("patch_embed.norm.weight"),
    placement: settle(PLACEMENT, placementKnown({ classTokens, lastNorm, ...blocks, architecture })),
    activation: settle(ACTIVATION, {
      published: architecture?.activation,
      assumed: gate === undefined
        ? { value: "gelu", why: "timm's usual one, nothing in the file says" }
        : { value: "silu", why: "the usual one of gated MLPs (SwiGLU), nothing in the file says" },
    }),
  };
  return { config, positions };
}

/** Residual post-norm leaves no tensor; it is published of ViT-B without class token and qkv biases. */
function placementKnown(
  { classTokens, lastNorm, qkvBias, parallel, architecture }:
    & Pick<VitConfig, "lastNorm" | "qkvBias" | "parallel">
    & { classTokens: number; architecture: Architecture | undefined },
): Known<"pre" | "res-post"> {
  if (parallel !== undefined) {
    return {
      tensors: { value: "pre", why: "parts of its blocks stand side by side, behind their normalization" },
    };
  }
  if (architecture !== undefined) return { published: architecture.placement };
  return classTokens === 0 && lastNorm === "pooled" && !qkvBias
    ? { ask: "vit_base_patch16_rpn_224, with normalizations behind its sublayers, has the same tensors" }
    : { assumed: { value: "pre", why: "timm's usual block, nothing in the file says" } };
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
