/** Heads of attention, apart and together again, and what queries, keys and values come to. */
import { UnfoldError } from "../errors.ts";
import { argument, COUNT, FLAG, given, NUMBER, optional } from "../ir/given.ts";
import { type Shape, showShape } from "../ir/shape.ts";
import { op, TENSOR, type Tensor } from "./tensor.ts";

/**
 * `[B, T, C]` to `[B, H, T, C/H]`; within windows of W tokens that lie together to `[B T/W, H, W, C/H]`.
 *
 * @throws {UnfoldError} other than three axes, or channels that do not divide among the heads
 */
export function splitHeads(
  x: Tensor,
  options: { readonly heads: number; readonly window?: number | undefined },
): Tensor {
  argument("splitHeads: x", x, TENSOR);
  const { heads, window } = given("splitHeads", options, { heads: COUNT, window: optional(COUNT) });
  const [batch, tokens] = x.sizes(3);
  const { channels } = x;
  if (channels % heads !== 0) {
    throw new UnfoldError(`${x.name}: ${channels} channels do not divide among ${heads} heads`);
  }
  const lead = window === undefined ? [batch, tokens] : [-1, window];
  return x.reshape([...lead, heads, channels / heads]).transpose([0, 2, 1, 3]);
}

/** `[B, H, T, D]` to `[B, T, H D]`; of windows to the tokens' own `shape`. */
export function joinHeads(x: Tensor, shape?: Shape): Tensor {
  const [heads, size] = headsOf(x, "joinHeads");
  const [batch, , tokens] = x.sizes(4);
  return x.transpose([0, 2, 1, 3]).reshape(shape ?? [batch, tokens, heads * size]);
}

/**
 * Grouped heads (Ainslie et al. 2023): each of the G heads of `[B, G, T, D]` serves `heads / G` query heads
 * that stand beside each other, so it is repeated that often: `[B, heads, T, D]`.
 */
export function repeatHeads(x: Tensor, heads: number): Tensor {
  const [groups, size] = headsOf(x, "repeatHeads");
  argument("repeatHeads: heads", heads, COUNT);
  if (groups === heads) return x;
  if (heads % groups !== 0) {
    throw new UnfoldError(`${x.name}: ${heads} query heads do not divide among ${groups} key heads`);
  }
  const [batch, , tokens] = x.sizes(4);
  return x.reshape([batch, groups, 1, tokens, size])
    .expand([batch, groups, heads / groups, tokens, size])
    .reshape([batch, heads, tokens, size]);
}

function headsOf(x: Tensor, what: string): readonly [heads: number, size: number] {
  argument(`${what}: x`, x, TENSOR);
  const [, heads, , size] = x.shape;
  if (x.shape.length === 4 && typeof heads === "number" && typeof size === "number") return [heads, size];
  throw new UnfoldError(
    `${x.name}: ${what} needs [B, H, T, D] with a fixed number of heads and a fixed size, not ${
      showShape(x.shape)
    }`,
  );
}

/** What attention mixes. */
export interface AttentionInputs {
  /** Queries `[B, H, T, D]`. */
  readonly q: Tensor;
  /** Keys `[B, H, S, D]`. */
  readonly k: Tensor;
  /** Values `[B, H, S, D]`. */
  readonly v: Tensor;
  /** Added to the logits; broadcast to `[B, H, T, S]`. */
  readonly mask?: Tensor | undefined;
}

/**
 * `softmax(scale q k^T + mask) v`, `[B, H, T, D]` (Vaswani et al. 2017, equation 1); `scale` is `1 / sqrt(D)`
 * unless given. Causal, query t sees keys up to `t + (S - T)`: the T queries are the last of S tokens. T and
 * S must then be equal, or fixed with T < S, or T = 1.
 */
export function scaledDotProductAttention(
  inputs: AttentionInputs,
  options: { readonly scale?: number | undefined; readonly causal?: boolean } = {},
): Tensor {
  const { q, k, v, mask } = given("attention", inputs, {
    q: TENSOR,
    k: TENSOR,
    v: TENSOR,
    mask: optional(TENSOR),
  });
  const { scale, causal = false } = given("attention", options, {
    scale: optional(NUMBER),
    causal: optional(FLAG),
  });
  const size = q.shape.at(-1);
  if (scale === undefined && typeof size !== "number") {
    throw new UnfoldError(`attention: give the scale where the head size ${size} is open`);
  }
  return op("attention", mask ? [q, k, v, mask] : [q, k, v], {
    attrs: { scale: scale ?? 1 / Math.sqrt(size as number), causal },
    // Named after what it mixes, as where there is no mask.
    name: `${v.name.split("/")[0]}/attention`,
  });
}
