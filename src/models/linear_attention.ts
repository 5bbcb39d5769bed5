/**
 * Simplified linear attention (SLAB, Guo et al., ICML 2024): a ReLU in place of softmax, so that keys and
 * values are summed before a query is looked at, and a depthwise convolution of the values beside it, for
 * what is near. Names are SLAB's.
 */
import {
  constant,
  convolution,
  type Grid,
  joinHeads,
  linear,
  type Scope,
  splitHeads,
  type Tensor,
} from "../dsl/mod.ts";

/** What mixes projected tokens. */
export interface LinearMixOptions {
  readonly heads: number;
  /** Rows and columns of the queries; of each window, where so many lie together. */
  readonly grid: Grid;
  /** Side of the convolution's kernel, which is odd. */
  readonly kernel: number;
}

/** What `simplifiedLinearAttention` takes besides tensor and scope. */
export interface LinearAttentionOptions extends LinearMixOptions {
  /** Whether queries, keys and values have biases; true unless said. */
  readonly qkvBias?: boolean;
}

/** Over all tokens or within windows: `[B, T, C]` to `[B, T, C]`. */
export function simplifiedLinearAttention(
  x: Tensor,
  p: Scope,
  { qkvBias: bias = true, ...options }: LinearAttentionOptions,
): Tensor {
  const { channels, shape } = x;
  const { height, width } = options.grid;
  const packed = linear(x, p.at("qkv"), { outputs: 3 * channels, bias }).reshape([
    -1,
    height * width,
    3 * channels,
  ]);
  const [q, k, v] = packed.split(3);
  const mixed = linearMix({ q, k, v }, p, options);
  return linear(mixed.reshape(shape), p.at("proj"), { outputs: channels });
}

/**
 * What is between the projections: queries `[B, T, C]`, keys and values `[B, S, C]` to `[B, T, C]`. Where
 * keys and values are fewer, they are stretched along the sequence for the convolution (PVT).
 */
export function linearMix(
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
  p: Scope,
  { heads, grid, kernel }: LinearMixOptions,
): Tensor {
  const [, tokens] = k.sizes(3);
  const placed = k.add(p.param("positional_encoding", [1, tokens as number, k.channels]));
  const byHead = (y: Tensor) => splitHeads(y, { heads });
  const mixed = reluAttention({ q: byHead(q), k: byHead(placed), v: byHead(v) });
  const values = byHead(stretched(v, grid.height * grid.width));
  return joinHeads(mixed.add(neighbours(values, p.at("dwc"), { grid, kernel })));
}

/** Linear interpolation along the tokens, `[B, S, C]` to `[B, tokens, C]`, between the two nearest. */
function stretched(x: Tensor, tokens: number): Tensor {
  const from = x.shape[1] as number;
  if (from === tokens) return x;
  const places = Array.from(
    { length: tokens },
    (_, i) => Math.max(0, (i + 0.5) * from / tokens - 0.5),
  );
  const at = (index: (place: number) => number, name: string) =>
    x.gather(constant(places.map(index), { dtype: "int32", name }), { axis: 1 });
  const share = constant(places.map((place) => place % 1), { shape: [1, tokens, 1], name: "share" });
  const before = at(Math.floor, "before");
  const behind = at((place) => Math.min(Math.floor(place) + 1, from - 1), "behind");
  return before.add(behind.sub(before).mul(share));
}

/**
 * `relu(q) (relu(k)^T v) / (relu(q) . sum relu(k))` (equation 7): `[B, H, T, D]` and twice `[B, H, S, D]` to
 * `[B, H, T, D]`. In fp32 whatever the network's precision, as in the paper's code, for sums over all tokens.
 */
function reluAttention(inputs: { q: Tensor; k: Tensor; v: Tensor }): Tensor {
  const [q, k] = [inputs.q.relu().cast("fp32"), inputs.k.relu().cast("fp32")];
  const attended = q.matmul(k.matmul(inputs.v.cast("fp32"), { transposeA: true }));
  const weights = q.matmul(k.sum({ axes: [2], keepDims: true }), { transposeB: true });
  return attended.div(weights.add(1e-6)).cast("float");
}

/** A depthwise convolution over the grid, shared by the heads (equation 8): `[B, H, T, D]` to the same. */
function neighbours(
  v: Tensor,
  p: Scope,
  { grid: { height, width }, kernel }: Pick<LinearMixOptions, "grid" | "kernel">,
): Tensor {
  const [batch, heads, tokens] = v.sizes(4);
  const { channels: size } = v;
  const maps = v.transpose([0, 1, 3, 2]).reshape([-1, size, height, width]);
  const local = convolution(maps, p, { outputs: size, kernel, padding: (kernel - 1) / 2, groups: size });
  return local.reshape([batch, heads, size, tokens]).transpose([0, 1, 3, 2]);
}
