/**
 * Attention and what belongs to it as one operator: that of ONNX 23, and those of `com.microsoft`, which ONNX
 * Runtime's optimizer writes. Caches of earlier tokens are left out.
 */
import { UnfoldError } from "../../errors.ts";
import type { Node } from "../../ir/graph.ts";
import type { Dim } from "../../ir/shape.ts";
import { joinHeads, repeatHeads, splitHeads } from "../../dsl/heads.ts";
import { nodeOf, tensorOf } from "../../dsl/tensor.ts";
import { isFloat } from "../../ir/dtype.ts";
import type { Site } from "../site.ts";
import { fixed } from "../values.ts";
import type { Translators } from "./define.ts";
import { linearOf } from "./products.ts";
import { sliced } from "./shapes.ts";

export const ATTENTIONS: Translators = {
  Attention: (at) => {
    if (at.has(4) || at.has(5)) throw new UnfoldError("a cache of keys and values");
    if (at.float("softcap", 0) !== 0) throw new UnfoldError("logits that are capped (softcap)");
    const [q, k, v] = [0, 1, 2].map((i) => at.tensor(i)) as [Node, Node, Node];
    const heads = at.int("q_num_heads", 0);
    const groups = at.int("kv_num_heads", heads);
    const mask = at.has(3) ? at.tensor(3) : undefined;
    const scale = at.node.attributes.has("scale") ? at.float("scale", 1) : undefined;
    return attended(at, { q, k, v, heads, groups, mask, scale, causal: at.int("is_causal", 0) !== 0 });
  },
  "com.microsoft.MultiHeadAttention": (at) => {
    if (at.has(6) || at.has(7)) throw new UnfoldError("a cache of keys and values");
    if (!at.has(1) || !at.has(2)) throw new UnfoldError("queries, keys and values packed in one tensor");
    const heads = at.int("num_heads", 0);
    const parts = [0, 1, 2].map((i) => at.tensor(i));
    const widths = parts.map(({ type }) => fixed(type.shape.at(-1)!, "the channels of attention"));
    const biases = at.has(3) ? cut(at, at.tensor(3), widths) : undefined;
    const [q, k, v] = parts.map((x, i) => biases ? at.make("add", [x, biases[i]!], {}) : x) as [
      Node,
      Node,
      Node,
    ];
    const causal = at.int("unidirectional", 0) !== 0;
    return attended(at, {
      q,
      k,
      v,
      heads,
      mask: microsoftMask(at, { padding: 4, bias: 5, tokens: k.type.shape.at(-2)! }),
      scale: scaleOf(at),
      causal,
    });
  },
  "com.microsoft.Attention": (at) => {
    if (at.has(4)) throw new UnfoldError("a cache of keys and values");
    const heads = at.int("num_heads", 0);
    const bias = at.has(2) ? at.tensor(2) : undefined;
    const packed = linearOf(at, at.tensor(0), at.tensor(1), bias);
    const whole = fixed(packed.type.shape.at(-1)!, "the channels of attention");
    const sizes = at.ints("qkv_hidden_sizes") ?? [whole / 3, whole / 3, whole / 3];
    const [q, k, v] = cut(at, packed, sizes) as [Node, Node, Node];
    const causal = at.int("unidirectional", 0) !== 0;
    return attended(at, {
      q,
      k,
      v,
      heads,
      mask: microsoftMask(at, { padding: 3, bias: 5, tokens: k.type.shape.at(-2)! }),
      scale: scaleOf(at),
      causal,
    });
  },
  RotaryEmbedding: (at) => {
    const positions = at.has(3) ? at.tensor(3) : undefined;
    return rotated(at, { cos: at.tensor(1), sin: at.tensor(2), positions });
  },
  "com.microsoft.RotaryEmbedding": (at) => {
    if (at.rank(1) !== 2) throw new UnfoldError("positions from an offset on; give each token's, [B, T]");
    return rotated(at, { cos: at.tensor(2), sin: at.tensor(3), positions: at.tensor(1) });
  },
};

interface Attended {
  readonly q: Node;
  readonly k: Node;
  readonly v: Node;
  readonly heads: number;
  readonly groups?: number;
  readonly mask?: Node | undefined;
  readonly scale: number | undefined;
  readonly causal: boolean;
}

/** Of `[B, T, C]` or heads `[B, H, T, D]`; the result is as the queries are. */
function attended(at: Site, { q, k, v, heads, groups = heads, mask, scale, causal }: Attended): Node {
  const isSplit = q.type.shape.length === 4;
  const split = (x: Node, count: number) =>
    x.type.shape.length === 4 ? tensorOf(x) : splitHeads(tensorOf(x), { heads: count });
  const queries = split(q, heads);
  const count = fixed(queries.shape[1]!, "the number of heads");
  const [keys, values] = [k, v].map((x) => repeatHeads(split(x, groups), count)) as [
    typeof queries,
    typeof queries,
  ];
  const size = fixed(queries.shape[3]!, "the size of heads");
  const inputs = [queries, keys, values].map(nodeOf);
  const added = mask && additive(at, mask);
  const mixed = at.make("attention", added === undefined ? inputs : [...inputs, added], {
    scale: scale ?? 1 / Math.sqrt(size),
    causal,
  });
  return isSplit ? mixed : nodeOf(joinHeads(tensorOf(mixed)));
}

/** ONNX Runtime's own have a scale of 0 where there is none. */
function scaleOf(at: Site): number | undefined {
  const scale = at.float("scale", 0);
  return scale === 0 ? undefined : scale;
}

/** A mask that is added; one of truth values says where to look. */
function additive(at: Site, mask: Node): Node {
  if (isFloat(mask.type.dtype)) return mask;
  const [nothing, never] = [0, -Infinity].map((value) => at.constant([value]));
  return at.make("where", [mask, nothing, never], {});
}

/**
 * Padding `[B, S]`, 1 where there is a token, or how many tokens come before it, `[B]`, and what is added to
 * the logits.
 */
function microsoftMask(
  at: Site,
  { padding, bias, tokens }: { padding: number; bias: number; tokens: Dim },
): Node | undefined {
  const added = at.has(bias) ? at.tensor(bias) : undefined;
  if (!at.has(padding)) return added;
  const given = at.tensor(padding);
  const [batch, ...others] = given.type.shape;
  if (others.length > 1 || (others.length === 0 && batch !== at.shape(0)[0])) {
    throw new UnfoldError("a mask other than of each example's tokens, [B, S], or of how many they are, [B]");
  }
  const mask = others.length === 1 ? given : isBefore(at, tokens, given);
  const wide = at.make("cast", [mask], { to: at.precision });
  const rows = at.make("reshape", [wide], { shape: [batch!, 1, 1, tokens] });
  const absent = at.make("sub", [at.constant([1]), rows], {});
  const filled = at.make("mul", [absent, at.constant([at.float("mask_filter_value", -10000)])], {});
  return added === undefined ? filled : at.make("add", [filled, added], {});
}

/** Of each of so many tokens whether it comes before an example's count. */
function isBefore(at: Site, tokens: Dim, counts: Node): Node {
  const positions = at.make("range", [], { size: tokens });
  const wide = at.make("cast", [counts], { to: "int64" });
  const columns = at.make("reshape", [wide], { shape: [...counts.type.shape, 1] });
  return at.make("less", [positions, columns], {});
}

/** The last axis in parts of these sizes. */
function cut(at: Site, x: Node, sizes: readonly number[]): Node[] {
  const axis = x.type.shape.length - 1;
  let start = 0;
  return sizes.map((size) => {
    const part = sliced(at, x, { axis, start, end: start + size, step: 1 });
    start += size;
    return part;
  });
}

interface Rotation {
  /** Tables `[positions, D / 2]`, or of each token where there are no positions. */
  readonly cos: Node;
  readonly sin: Node;
  readonly positions: Node | undefined;
}

/**
 * `x cos + rotate(x) sin` of the first `rotary_embedding_dim` channels of each head; halves, or neighbours.
 */
function rotated(at: Site, { cos, sin, positions }: Rotation): Node {
  const x = at.tensor(0);
  const isSplit = x.type.shape.length === 4;
  const heads = isSplit ? x : nodeOf(splitHeads(tensorOf(x), { heads: at.int("num_heads", 0) }));
  const size = fixed(heads.type.shape[3]!, "the size of heads");
  const turned = at.int("rotary_embedding_dim", 0) || size;
  const angles = [cos, sin].map((table) => {
    const rows = positions === undefined ? table : at.make("gather", [table, positions], { axis: 0 });
    const { shape } = rows.type;
    return at.make("reshape", [rows], { shape: [shape[0]!, 1, ...shape.slice(1)] });
  }) as [Node, Node];
  const part = sliced(at, heads, { axis: 3, start: 0, end: turned, step: 1 });
  const isNeighbours = at.int("interleaved", 0) !== 0;
  const [first, second] = isNeighbours
    ? [0, 1].map((start) => sliced(at, part, { axis: 3, start, end: turned, step: 2 })) as [Node, Node]
    : cut(at, part, [turned / 2, turned / 2]) as [Node, Node];
  const mul = (a: Node, b: Node) => at.make("mul", [a, b], {});
  const [c, s] = angles;
  const real = at.make("sub", [mul(first, c), mul(second, s)], {});
  const imaginary = at.make("add", [mul(first, s), mul(second, c)], {});
  const joined = isNeighbours
    ? interleaved(at, real, imaginary)
    : at.make("concat", [real, imaginary], { axis: 3 });
  const whole = turned === size
    ? joined
    : at.make("concat", [joined, sliced(at, heads, { axis: 3, start: turned, end: size, step: 1 })], {
      axis: 3,
    });
  return isSplit ? whole : nodeOf(joinHeads(tensorOf(whole)));
}

/** Elements of both by turns along the last axis. */
function interleaved(at: Site, a: Node, b: Node): Node {
  const { shape } = a.type;
  const apart = [...shape, 1];
  const pairs = at.make(
    "concat",
    [at.make("reshape", [a], { shape: apart }), at.make("reshape", [b], { shape: apart })],
    { axis: shape.length },
  );
  return at.make("reshape", [pairs], { shape: [...shape.slice(0, -1), 2 * (shape.at(-1) as number)] });
}
