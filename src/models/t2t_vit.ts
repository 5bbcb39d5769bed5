/**
 * T2T-ViT (Yuan et al., ICCV 2021), the network of the Unified Normalization paper's image experiments:
 * overlapping patches are unfolded, attended to and unfolded again, twice, before a plain ViT takes over.
 * What attends to them is a Performer (Choromanski et al., ICLR 2021) or, in the networks named T2T-ViT_t, a
 * Transformer. Names are those of both papers' code.
 */
import {
  block,
  float,
  type Grid,
  gridOf,
  joinHeads,
  linear,
  mlp,
  type Model,
  model,
  norm,
  prependToken,
  reorder,
  residual,
  rowMajor,
  scaledDotProductAttention,
  type Scope,
  splitHeads,
  type Tensor,
  unfoldOrder,
} from "../dsl/mod.ts";
import { type Norm, unifiedNorm } from "../norms/families.ts";
import type { TransformerSizes } from "./sizes.ts";

/** Sizes of T2T-ViT. */
export interface T2tVitConfig extends TransformerSizes {
  /** Side of the square image, a multiple of 16. */
  readonly image: number;
  /** Of the tokens between two soft splits. */
  readonly tokenChannels: number;
  /** Random features of the Performer, m in its paper; null where a Transformer is in its place. */
  readonly features: number | null;
  /** Of the head. */
  readonly classes: number;
  /** Whether queries, keys and values of the blocks have biases. */
  readonly qkvBias: boolean;
  /** Factor on the logits of the blocks' attention; 1 / sqrt(channels / heads) unless said. */
  readonly qkScale?: number;
}

/** T2T-ViT-14 (table 1): 21.5 million parameters. */
export const T2T_VIT_14: T2tVitConfig = {
  name: "t2t-vit-14",
  image: 224,
  tokenChannels: 64,
  features: 32,
  channels: 384,
  depth: 14,
  heads: 6,
  hidden: 1152,
  classes: 1000,
  qkvBias: false,
};

/** `images [B, 3, H, W]` to `logits [B, classes]`. */
export function t2tVit(config: T2tVitConfig, { norm: family = unifiedNorm() }: { norm?: Norm } = {}): Model {
  const { image, channels, depth, heads, hidden, classes, qkvBias, qkScale: scale } = config;
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, image, image]) },
    norm: family,
    forward({ images }, p) {
      const tokens = tokensToToken(images, p.at("tokens_to_token"), config);
      let x = prependToken(tokens, p.param("cls_token", [1, 1, channels]));
      x = x.add(p.param("pos_embed", [1, 1 + (image / 16) ** 2, channels]));
      for (let i = 0; i < depth; i++) {
        x = block(x, p.at("blocks", i), { heads, qkvBias, scale, mlp: { hidden } });
      }
      const first = norm(x, p.at("norm")).pick({ axis: 1, index: 0 });
      return { logits: linear(first, p.at("head"), { outputs: classes }) };
    },
  });
}

/** The tokens-to-token module (section 3.1): `[B, 3, H, W]` to `[B, H W / 256, channels]`. */
function tokensToToken(images: Tensor, p: Scope, { image, channels, ...options }: T2tVitConfig): Tensor {
  const quarter = gridOf([image, image], 4);
  const eighth = gridOf([image, image], 8);
  const pixels = images.reshape([images.shape[0]!, 3, image * image]).transpose([0, 2, 1]);
  let x = softSplit(pixels, { height: image, width: image }, { kernel: 7, stride: 4, padding: 2 });
  x = tokenBlock(x, p.at("attention1"), options);
  x = softSplit(x, quarter, { kernel: 3, stride: 2, padding: 1 });
  x = tokenBlock(x, p.at("attention2"), options);
  x = softSplit(x, eighth, { kernel: 3, stride: 2, padding: 1 });
  return linear(x, p.at("project"), { outputs: channels });
}

/** Overlapping patches, values by channel: `[B, H W, C]` to `[B, H' W', C kernel^2]` (equation 3). */
function softSplit(
  x: Tensor,
  grid: Grid,
  options: { kernel: number; stride: number; padding: number },
): Tensor {
  const [batch] = x.sizes(3);
  const { channels } = x;
  const size = options.kernel ** 2;
  const patches = reorder(x, { from: rowMajor(grid), to: unfoldOrder(grid, options) });
  return patches.reshape([batch, -1, size, channels]).transpose([0, 1, 3, 2]).reshape([
    batch,
    -1,
    channels * size,
  ]);
}

/** Attention to fewer channels, residual from v, and an MLP: `[B, T, C]` to `[B, T, tokenChannels]`. */
function tokenBlock(
  x: Tensor,
  p: Scope,
  { tokenChannels: size, features }: Pick<T2tVitConfig, "tokenChannels" | "features">,
): Tensor {
  const tokens = norm(x, p.at("norm1"));
  const then = (y: Tensor, names: readonly [string, string]) =>
    residual(y, (z) => mlp(z, p.at("mlp"), { hidden: size, names }), { norm: p.at("norm2") });
  if (features === null) {
    const attn = p.at("attn");
    const [q, k, v] = linear(tokens, attn.at("qkv"), { outputs: 3 * size, bias: false }).split(3);
    const head = (y: Tensor) => splitHeads(y, { heads: 1 });
    // One head, whose factor is that of the channels it is made from, as in the authors' code.
    const scale = 1 / Math.sqrt(x.channels);
    const mixed = joinHeads(scaledDotProductAttention({ q: head(q), k: head(k), v: head(v) }, { scale }));
    return then(v.add(linear(mixed, attn.at("proj"), { outputs: size })), ["fc1", "fc2"]);
  }
  const [k, q, v] = linear(tokens, p.at("kqv"), { outputs: 3 * size }).split(3);
  const mixed = performer({ k, q, v }, p.param("w", [features, size]));
  return then(v.add(linear(mixed.cast("float"), p.at("proj"), { outputs: size })), ["0", "2"]);
}

/**
 * Linear attention by positive random features: `[B, T, C]` each to the same. In fp32 whatever the network's
 * precision, as in the papers' code: the exponentials are small and thousands are summed.
 */
function performer({ k, q, v }: { k: Tensor; q: Tensor; v: Tensor }, w: Tensor): Tensor {
  const wide = w.cast("fp32");
  const kernel = (y: Tensor) => softmaxKernel(y.cast("fp32"), wide);
  const [keys, queries] = [kernel(k), kernel(q)];
  const attended = queries.matmul(keys.matmul(v.cast("fp32"), { transposeA: true }));
  const weights = queries.matmul(keys.sum({ axes: [1], keepDims: true }), { transposeB: true });
  return attended.div(weights.add(1e-8));
}

/** `exp(w x - |x|^2 / 2) / sqrt(m)` (lemma 1 of the Performer paper): `[B, T, C]` to `[B, T, m]`. */
function softmaxKernel(x: Tensor, w: Tensor): Tensor {
  const half = x.mul(x).sum({ axes: [2], keepDims: true }).mul(0.5);
  const features = w.shape[0] as number;
  return x.matmul(w, { transposeB: true }).sub(half).exp().mul(features ** -0.5);
}
