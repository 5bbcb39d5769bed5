/**
 * Simplified linear attention (SLAB, Guo et al., ICML 2024): a ReLU in place of softmax, so that keys and
 * values are summed before a query is looked at, and a depthwise convolution of the values beside it, for
 * what is near. Names are SLAB's.
 */
import {
  convolution,
  type Grid,
  joinHeads,
  linear,
  type Scope,
  splitHeads,
  type Tensor,
} from "../dsl/mod.ts";

export interface LinearAttentionOptions {
  readonly heads: number;
  /** Rows and columns of the tokens; of each window, where so many lie together. */
  readonly grid: Grid;
  /** Side of the convolution's kernel, which is odd. */
  readonly kernel: number;
  /** Whether queries, keys and values have biases; true unless said. */
  readonly qkvBias?: boolean;
}

/** Over all tokens or within windows: `[B, T, C]` to `[B, T, C]`. */
export function simplifiedLinearAttention(
  x: Tensor,
  p: Scope,
  { heads, grid, kernel, qkvBias: bias = true }: LinearAttentionOptions,
): Tensor {
  const { channels, shape } = x;
  const tokens = grid.height * grid.width;
  const packed = linear(x, p.at("qkv"), { outputs: 3 * channels, bias }).reshape([-1, tokens, 3 * channels]);
  const [q, key, value] = packed.split(3);
  const k = key.add(p.param("positional_encoding", [1, tokens, channels]));
  const v = splitHeads(value, { heads });
  const mixed = reluAttention({ q: splitHeads(q, { heads }), k: splitHeads(k, { heads }), v });
  const near = neighbours(v, p.at("dwc"), { grid, kernel });
  return linear(joinHeads(mixed.add(near)).reshape(shape), p.at("proj"), { outputs: channels });
}

/**
 * `relu(q) (relu(k)^T v) / (relu(q) . sum relu(k))` (equation 7): `[B, H, T, D]` and twice `[B, H, S, D]` to
 * `[B, H, T, D]`. In fp32 whatever the network's precision, as in the paper's code, for sums over all tokens.
 */
export function reluAttention(inputs: { q: Tensor; k: Tensor; v: Tensor }): Tensor {
  const [q, k] = [inputs.q.relu().cast("fp32"), inputs.k.relu().cast("fp32")];
  const attended = q.matmul(k.matmul(inputs.v.cast("fp32"), { transposeA: true }));
  const weights = q.matmul(k.sum({ axes: [2], keepDims: true }), { transposeB: true });
  return attended.div(weights.add(1e-6)).cast("float");
}

/**
 * A depthwise convolution over the grid, its kernels shared by the heads (equation 8): `[B, H, T, D]` to the
 * same.
 */
export function neighbours(
  v: Tensor,
  p: Scope,
  { grid: { height, width }, kernel }: Pick<LinearAttentionOptions, "grid" | "kernel">,
): Tensor {
  const [batch, heads, tokens] = v.sizes(4);
  const { channels: size } = v;
  const maps = v.transpose([0, 1, 3, 2]).reshape([-1, size, height, width]);
  const local = convolution(maps, p, { outputs: size, kernel, padding: (kernel - 1) / 2, groups: size });
  return local.reshape([batch, heads, size, tokens]).transpose([0, 1, 3, 2]);
}
