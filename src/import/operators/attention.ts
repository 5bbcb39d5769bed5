/**
 * Attention and what belongs to it as one operator: that of ONNX 23, and those of `com.microsoft`, which ONNX
 * Runtime's optimizer writes. Keys and values of earlier tokens are inputs, and with the new ones outputs.
 */
import { UnfoldError } from "../../errors.ts";
import type { Node } from "../../ir/graph.ts";
import { type Dim, multiplyDims } from "../../ir/shape.ts";
import { joinHeads, repeatHeads, splitHeads } from "../../dsl/heads.ts";
import { nodeOf, tensorOf } from "../../dsl/tensor.ts";
import { isFloat } from "../../ir/dtype.ts";
import type { Site } from "../site.ts";
import { fixed } from "../values.ts";
import type { Translators } from "./define.ts";
import { linearOf } from "./products.ts";
import { cut, positionsOf, sliced } from "./shapes.ts";

export const ATTENTIONS: Translators = {
  Attention: (at) => {
    if (at.has(6)) throw new UnfoldError("tokens of a cache that are counted at run time");
    const [q, k, v] = [0, 1, 2].map((i) => at.tensor(i)) as [Node, Node, Node];
    const heads = at.int("q_num_heads", 0);
    const groups = at.int("kv_num_heads", heads);
    const mask = at.has(3) ? at.tensor(3) : undefined;
    const scale = at.node.attributes.has("scale") ? at.float("scale", 1) : undefined;
    const past = at.has(4) && at.has(5) ? [at.tensor(4), at.tensor(5)] as const : undefined;
    const causal = at.int("is_causal", 0) !== 0;
    const { mixed, keys, values } = attended(at, {
      ...{ q, k, v, heads, groups, mask, scale, past, causal },
      softcap: at.float("softcap", 0),
    });
    return [mixed, keys, values];
  },
  "com.microsoft.MultiHeadAttention": (at) => {
    const heads = at.int("num_heads", 0);
    const parts = unpacked(at);
    const widths = parts.map(({ type }) => fixed(type.shape.at(-1)!, "the channels of attention"));
    if (at.has(3) && parts.some(({ type }) => type.shape.length !== 3)) {
      throw new UnfoldError("a bias of what is split into heads already");
    }
    const biases = at.has(3) ? cut(at, at.tensor(3), widths) : undefined;
    const [q, k, v] = parts.map((x, i) => biases ? at.make("add", [x, biases[i]!], {}) : x) as [
      Node,
      Node,
      Node,
    ];
    const past = at.has(6) && at.has(7) ? [at.tensor(6), at.tensor(7)] as const : undefined;
    const causal = at.int("unidirectional", 0) !== 0;
    if (causal && !past && q.type.shape.at(-2) !== k.type.shape.at(-2)) {
      throw new UnfoldError("causal attention of queries over another number of keys");
    }
    const { mixed, keys, values } = attended(at, {
      ...{ q, k, v, heads, past, causal, scale: scaleOf(at) },
      maskOf: (tokens) => microsoftMask(at, { padding: 4, bias: 5, tokens }),
    });
    return [mixed, keys, values];
  },
  "com.microsoft.Attention": (at) => {
    if (at.int("do_rotary", 0) !== 0) throw new UnfoldError("rotations inside of it (do_rotary)");
    const heads = at.int("num_heads", 0);
    const bias = at.has(2) ? at.tensor(2) : undefined;
    const packed = linearOf(at, at.tensor(0), at.tensor(1), bias);
    const whole = fixed(packed.type.shape.at(-1)!, "the channels of attention");
    const sizes = at.ints("qkv_hidden_sizes") ?? [whole / 3, whole / 3, whole / 3];
    const [q, k, v] = cut(at, packed, sizes) as [Node, Node, Node];
    const causal = at.int("unidirectional", 0) !== 0;
    // Keys of earlier tokens and then values, [2, B, H, P, D].
    const cache = at.has(4) ? at.tensor(4) : undefined;
    const halves = cache && [0, 1].map((start) => {
      const half = sliced(at, cache, { axis: 0, start, end: start + 1, step: 1 });
      return at.make("reshape", [half], { shape: half.type.shape.slice(1) });
    }) as [Node, Node];
    const { mixed, keys, values } = attended(at, {
      ...{ q, k, v, heads, past: halves, causal, scale: scaleOf(at) },
      maskOf: (tokens) => microsoftMask(at, { padding: 3, bias: 5, tokens }),
    });
    if ((at.outputs[1] ?? "") === "") return mixed;
    const rows = [keys, values].map((each) => at.make("reshape", [each], { shape: [1, ...each.type.shape] }));
    return [mixed, at.make("concat", rows, { axis: 0 })];
  },
  RotaryEmbedding: (at) => {
    const positions = at.has(3) ? at.tensor(3) : undefined;
    return rotated(at, { cos: at.tensor(1), sin: at.tensor(2), positions });
  },
  "com.microsoft.RotaryEmbedding": (at) => {
    if (at.float("scale", 1) !== 1) throw new UnfoldError("a scale other than 1");
    const [given, tokens] = [at.tensor(1), at.shape(0).at(-2)!];
    // Of each token, or from an offset on.
    const positions = given.type.shape.length === 2 ? given : at.make("reshape", [
      at.make("add", [at.make("range", [], { size: tokens }), given], {}),
    ], { shape: [1, tokens] });
    return rotated(at, { cos: at.tensor(2), sin: at.tensor(3), positions });
  },
};

interface Attended {
  readonly q: Node;
  readonly k: Node;
  readonly v: Node;
  readonly heads: number;
  readonly groups?: number;
  /** Keys and values of earlier tokens, `[B, H, P, D]`. */
  readonly past?: readonly [Node, Node] | undefined;
  readonly mask?: Node | undefined;
  /** Of so many keys. */
  readonly maskOf?: (tokens: Dim) => Node | undefined;
  readonly scale: number | undefined;
  readonly causal: boolean;
  /** Logits l are `c tanh(l / c)`; 0 where they are not capped. */
  readonly softcap?: number;
}

/** Of `[B, T, C]` or heads `[B, H, T, D]`, as the result is; and all keys and values, `[B, H, S, D]`. */
function attended(
  at: Site,
  { q, k, v, heads, groups = heads, past, causal, softcap = 0, ...given }: Attended,
) {
  const split = (x: Node, count: number) =>
    x.type.shape.length === 4 ? x : nodeOf(splitHeads(tensorOf(x), { heads: count }));
  const queries = split(q, heads);
  const [keys, values] = [k, v].map((x, i) => {
    const own = split(x, groups);
    return past === undefined ? own : at.make("concat", [past[i]!, own], { axis: 2 });
  }) as [Node, Node];
  const [, count, tokens, size] = queries.type.shape as [Dim, Dim, Dim, Dim];
  const [wide, wideValues] = [keys, values].map((x) =>
    nodeOf(repeatHeads(tensorOf(x), fixed(count, "the number of heads")))
  ) as [Node, Node];
  const scale = given.scale ?? 1 / Math.sqrt(fixed(size, "the size of heads"));
  const padding = given.mask ?? given.maskOf?.(keys.type.shape[2]!);
  const added = padding && additive(at, padding);
  const before = past?.[0].type.shape[2] ?? 0;
  // What the operator's own attribute says: as many keys behind the last query as before the first.
  const isPlain = softcap === 0 && before === 0 && keys.type.shape[2] === tokens;
  const triangle = causal && !isPlain
    ? causalMask(at, { tokens, keys: keys.type.shape[2]!, before })
    : undefined;
  const mask = added && triangle ? at.make("add", [added, triangle], {}) : added ?? triangle;
  const mixed = softcap === 0
    ? at.make("attention", mask ? [queries, wide, wideValues, mask] : [queries, wide, wideValues], {
      scale,
      causal: causal && isPlain,
    })
    : capped(at, [queries, wide, wideValues, mask], { scale, softcap });
  return { mixed: q.type.shape.length === 4 ? mixed : nodeOf(joinHeads(tensorOf(mixed))), keys, values };
}

/** `softmax(c tanh(a q k^T / c) + m) v`, as Gemma 2 has it. */
function capped(
  at: Site,
  [q, k, v, mask]: readonly [Node, Node, Node, Node | undefined],
  { scale, softcap }: { readonly scale: number; readonly softcap: number },
): Node {
  const product = at.make("matmul", [q, k], { transposeB: true });
  const times = (x: Node, by: number) => at.make("mul", [x, at.number(by, x)], {});
  const logits = times(at.make("tanh", [times(product, scale / softcap)], {}), softcap);
  const masked = mask === undefined ? logits : at.make("add", [logits, mask], {});
  return at.make("matmul", [at.make("softmax", [masked], { axis: 3 }), v], {});
}

/** Minus infinity for keys behind a query, which has `before` keys in front of the first one of its own. */
function causalMask(
  at: Site,
  { tokens, keys, before }: { readonly tokens: Dim; readonly keys: Dim; readonly before: Dim },
): Node {
  const rows = positionsOf(at, tokens, [tokens, 1]);
  const last = before === 0 ? rows : at.make("add", [rows, at.make("size", [], { size: before })], {});
  return additive(at, at.make("less_or_equal", [positionsOf(at, keys, [1, keys]), last], {}));
}

/** Queries, keys and values as ONNX Runtime packs them for GPUs: `[B, T, H, 3, D]`, or the latter two. */
function unpacked(at: Site): readonly Node[] {
  const partsOf = (index: number, count: number) => {
    const packed = at.tensor(index);
    const { shape } = packed.type;
    return Array.from({ length: count }, (_, start) => {
      const part = sliced(at, packed, { axis: 3, start, end: start + 1, step: 1 });
      return at.make("reshape", [part], {
        shape: [shape[0]!, shape[1]!, multiplyDims(shape[2]!, shape[4]!)],
      });
    });
  };
  if (!at.has(1) && at.rank(0) === 5) return partsOf(0, 3);
  if (at.has(1) && !at.has(2) && at.rank(1) === 5) return [at.tensor(0), ...partsOf(1, 2)];
  return [0, 1, 2].map((i) => at.tensor(i));
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
