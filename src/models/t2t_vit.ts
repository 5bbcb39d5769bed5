/**
 * T2T-ViT (Yuan et al., ICCV 2021), the network of the Unified Normalization paper's image experiments: overlapping patches
 * are unfolded, attended to and unfolded again, twice, before a plain ViT takes over. What attends to them is a Performer
 * (Choromanski et al., ICLR 2021) or, in the networks named T2T-ViT_t, a Transformer. Names are those of both papers' code.
 */
import {
  add,
  block,
  cast,
  constant,
  div,
  exp,
  float,
  type Grid,
  gridOf,
  joinHeads,
  linear,
  matmul,
  mlp,
  type Model,
  model,
  mul,
  norm,
  pick,
  prependToken,
  reorder,
  reshape,
  residual,
  rowMajor,
  scaledDotProductAttention,
  type Scope,
  slice,
  splitHeads,
  sub,
  sum,
  type Tensor,
  transpose,
  unfoldOrder,
} from "../dsl/mod.ts";
import { type Norm, unifiedNorm } from "../norms/families.ts";

export interface T2tVitConfig {
  readonly name: string;
  /** Side of the square image, a multiple of 16. */
  readonly image: number;
  /** Of the tokens between two soft splits. */
  readonly tokenChannels: number;
  /** Random features of the Performer, m in its paper; null where a Transformer is in its place. */
  readonly features: number | null;
  readonly channels: number;
  readonly depth: number;
  readonly heads: number;
  /** Width inside the MLP. */
  readonly hidden: number;
  readonly classes: number;
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
  const { image, channels, depth, heads, hidden, classes, qkvBias, qkScale } = config;
  return model({
    name: config.name,
    inputs: { images: float(["B", 3, image, image]) },
    norm: family,
    forward({ images }, p) {
      const tokens = tokensToToken(images, p.at("tokens_to_token"), config);
      let x = prependToken(tokens, p.param("cls_token", [1, 1, channels]));
      x = add(x, p.param("pos_embed", [1, 1 + (image / 16) ** 2, channels]));
      for (let i = 0; i < depth; i++) {
        x = block(x, p.at("blocks", i), {
          heads,
          qkvBias,
          mlp: { hidden },
          ...(qkScale !== undefined && { scale: qkScale }),
        });
      }
      const first = pick(norm(x, p.at("norm")), { axis: 1, index: 0 });
      return { logits: linear(first, p.at("head"), { outputs: classes }) };
    },
  });
}

/** The tokens-to-token module (section 3.1): `[B, 3, H, W]` to `[B, H W / 256, channels]`. */
function tokensToToken(images: Tensor, p: Scope, { image, channels, ...options }: T2tVitConfig): Tensor {
  const quarter = gridOf([image, image], 4);
  const eighth = gridOf([image, image], 8);
  const pixels = transpose(reshape(images, [images.type.shape[0]!, 3, image * image]), [0, 2, 1]);
  let x = softSplit(pixels, { height: image, width: image }, { kernel: 7, stride: 4, padding: 2 });
  x = tokenBlock(x, p.at("attention1"), options);
  x = softSplit(x, quarter, { kernel: 3, stride: 2, padding: 1 });
  x = tokenBlock(x, p.at("attention2"), options);
  x = softSplit(x, eighth, { kernel: 3, stride: 2, padding: 1 });
  return linear(x, p.at("project"), { outputs: channels });
}

/** Overlapping patches, the values of one channel together: `[B, H W, C]` to `[B, H' W', C kernel^2]` (equation 3). */
function softSplit(
  x: Tensor,
  grid: Grid,
  options: { kernel: number; stride: number; padding: number },
): Tensor {
  const [batch, , channels] = x.type.shape as [string, number, number];
  const size = options.kernel ** 2;
  const patches = reorder(x, { from: rowMajor(grid), to: unfoldOrder(grid, options) });
  const apart = transpose(reshape(patches, [batch, -1, size, channels]), [0, 1, 3, 2]);
  return reshape(apart, [batch, -1, channels * size]);
}

/** Attention to fewer channels, its residual taken from v, and an MLP: `[B, T, C]` to `[B, T, tokenChannels]`. */
function tokenBlock(
  x: Tensor,
  p: Scope,
  { tokenChannels: size, features }: Pick<T2tVitConfig, "tokenChannels" | "features">,
): Tensor {
  const normalized = norm(x, p.at("norm1"));
  const thirds = (packed: Tensor) =>
    [0, 1, 2].map((i) => slice(packed, { axis: -1, start: i * size, end: (i + 1) * size })) as [
      Tensor,
      Tensor,
      Tensor,
    ];
  const mlpOf = (names: readonly [string, string]) => (y: Tensor) =>
    residual(y, (z) => mlp(z, p.at("mlp"), { hidden: size, names }), { norm: p.at("norm2") });
  if (features === null) {
    const own = p.at("attn");
    const [q, k, v] = thirds(linear(normalized, own.at("qkv"), { outputs: 3 * size, bias: false }));
    // One head, whose factor is that of the channels it is made from, as in the authors' code.
    const scale = 1 / Math.sqrt(x.type.shape[2] as number);
    const [ofQ, ofK, ofV] = [q, k, v].map((y) => splitHeads(y, 1, own)) as [Tensor, Tensor, Tensor];
    const mixed = joinHeads(scaledDotProductAttention({ q: ofQ, k: ofK, v: ofV }, { scale }));
    return mlpOf(["fc1", "fc2"])(add(v, linear(mixed, own.at("proj"), { outputs: size })));
  }
  const [k, q, v] = thirds(linear(normalized, p.at("kqv"), { outputs: 3 * size }));
  const mixed = performer({ k, q, v }, wide(p.param("w", [features, size])));
  return mlpOf(["0", "2"])(add(v, linear(cast(mixed, p.precision), p.at("proj"), { outputs: size })));
}

/** Linear attention by positive random features: `[B, T, C]` each to the same, in fp32. */
function performer({ k, q, v }: { k: Tensor; q: Tensor; v: Tensor }, w: Tensor): Tensor {
  const kernel = (y: Tensor) => softmaxKernel(wide(y), w);
  const [keys, queries] = [kernel(k), kernel(q)];
  const attended = matmul(queries, matmul(keys, wide(v), { transposeA: true }));
  const weights = matmul(queries, sum(keys, { axes: [1], keepDims: true }), { transposeB: true });
  return div(attended, add(weights, scalar(1e-8)));
}

/** `exp(w x - |x|^2 / 2) / sqrt(m)` (lemma 1 of the Performer paper): `[B, T, C]` to `[B, T, m]`. */
function softmaxKernel(x: Tensor, w: Tensor): Tensor {
  const half = mul(sum(mul(x, x), { axes: [2], keepDims: true }), scalar(0.5));
  const features = w.type.shape[0] as number;
  return mul(exp(sub(matmul(x, w, { transposeB: true }), half)), scalar(features ** -0.5));
}

/** fp32 whatever the network's precision, as in the papers' code: the exponentials are small and thousands are summed. */
const wide = (x: Tensor) => cast(x, "fp32");
const scalar = (value: number) => constant([value], { shape: [1], dtype: "fp32" });
