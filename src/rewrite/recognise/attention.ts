/**
 * Softmax attention written out, as one operator:
 *
 *     softmax(a q k^T + m) v = attention(q, k, v, m; a)
 *
 * The factor a may stand on the logits, on queries or keys, or in parts on both; it is `1 / sqrt(D)` where it
 * is that to six digits. Masks may be added one after the other, among them one of every window of an image,
 * for which the logits' batch is split, or be chosen where a condition holds. Weights that others read too,
 * and a mask inside the factor, leave the products as they are.
 */
import { heldData } from "../../ir/data.ts";
import { isFloat, type Precision } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { axisIn, type Dim, sameShape, type Shape } from "../../ir/shape.ts";
import { apply, constantNode, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { reshaped } from "../shaped.ts";
import { besides, isAbout, numberOf, uncast } from "./arithmetic.ts";
import { isHiding, sumOfMasks } from "./masks/masks.ts";

/** Products of queries and keys, and what is done to them in front of the softmax. */
interface Scores {
  readonly q: Node;
  /** `[.., S, D]`. */
  readonly k: Node;
  readonly scale: number;
  readonly masks: readonly Node[];
}

export const ATTENTION: Rule = {
  name: "attention",
  law: "softmax(a q k^T + m) v = attention(q, k, v, m; a)",
  rewrite: (node, isShared) => {
    if (!isOp(node, "matmul") || node.attrs.transposeA) return null;
    const [weights, values] = node.inputs;
    const softmax = uncast(weights);
    if (!isOp(softmax, "softmax") || isShared?.(weights) || isShared?.(softmax)) return null;
    const rank = softmax.type.shape.length;
    if (axisIn(softmax.attrs.axis, rank, "softmax") !== rank - 1 || values.type.shape.length !== rank) {
      return null;
    }
    const scores = scoresOf(softmax.inputs[0]);
    if (scores === null) return null;
    const v = node.attrs.transposeB ? swapped(values) : values;
    return attended(node, { ...scores, v, softmax: softmax.type.dtype as Precision });
  },
};

function scoresOf(node: Node): Scores | null {
  const logits = uncast(node);
  if (isOp(logits, "matmul")) return productOf(logits);
  if (isOp(logits, "mul") || isOp(logits, "div")) {
    const scaled = timesNumber(logits);
    const scores = scaled && scoresOf(scaled.x);
    if (scaled === null) return headScores(logits);
    return scores && scores.masks.length === 0 ? { ...scores, scale: scores.scale * scaled.factor } : null;
  }
  if (isOp(logits, "add")) {
    for (const [product, mask] of [logits.inputs, logits.inputs.toReversed()] as [Node, Node][]) {
      const scores = sameShape(product!.type.shape, logits.type.shape) ? scoresOf(product!) : null;
      if (scores !== null) return { ...scores, masks: [...scores.masks, mask!] };
    }
    return null;
  }
  if (isOp(logits, "where")) return chosenScores(logits);
  return isOp(logits, "reshape") ? windowScores(logits) : null;
}

/** `r (q k^T) = (r q) k^T`, r of each head: a temperature that is learned. */
function headScores(logits: Node): Scores | null {
  const { shape } = logits.type;
  const isOfHeads = ({ type }: Node) => type.shape.slice(-2).every((dim) => dim === 1);
  const found = isOp(logits, "mul")
    ? besides(logits, isOfHeads)
    : ([...logits.inputs].reverse() as [Node, Node]);
  if (found === null || !isOfHeads(found[0]) || !sameShape(found[1].type.shape, shape)) return null;
  const scores = scoresOf(found[1]);
  if (scores === null || scores.masks.length > 0) return null;
  const q = apply(logits.op as "mul", [scores.q, found[0]], { attrs: {}, name: scores.q.name });
  return sameShape(q.type.shape, scores.q.type.shape) ? { ...scores, q } : null;
}

function productOf({ inputs: [q, k], attrs }: Node): Scores | null {
  if (attrs.transposeA || q!.type.shape.length !== k!.type.shape.length) return null;
  const [left, right] = [unscaled(q!), unscaled(attrs.transposeB ? k! : swapped(k!))];
  return { q: left.x, k: right.x, scale: left.factor * right.factor, masks: [] };
}

/** A node and the number it is multiplied with. */
interface Scaled {
  readonly x: Node;
  readonly factor: number;
}

function timesNumber(node: Node): Scaled | null {
  if (isOp(node, "div")) {
    const divisor = numberOf(node.inputs[1]);
    return divisor ? { x: node.inputs[0], factor: 1 / divisor } : null;
  }
  const found = isOp(node, "mul") ? besides(node, (operand) => numberOf(operand) !== null) : null;
  return found && sameShape(found[1].type.shape, node.type.shape)
    ? { x: found[1], factor: numberOf(found[0])! }
    : null;
}

/** Numbers that multiply a tensor, in front of moves too. */
function unscaled(node: Node): Scaled {
  const scaled = timesNumber(node);
  if (scaled !== null) {
    const inner = unscaled(scaled.x);
    return { x: inner.x, factor: inner.factor * scaled.factor };
  }
  if (!isOp(node, "transpose") && !isOp(node, "reshape") && !isOp(node, "expand")) {
    return { x: node, factor: 1 };
  }
  const inner = unscaled(node.inputs[0]);
  if (inner.factor === 1) return { x: node, factor: 1 };
  const x = apply(node.op as "reshape", [inner.x], {
    attrs: node.attrs as { shape: Shape },
    name: node.name,
  });
  return { x, factor: inner.factor };
}

/** The last two axes exchanged; undone where they just were. */
function swapped(node: Node): Node {
  const permutation = node.type.shape.map((_, i) => i);
  permutation.push(...permutation.splice(-2).reverse());
  if (isOp(node, "transpose") && sameShape(node.attrs.permutation, permutation)) return node.inputs[0];
  return apply("transpose", [node], { attrs: { permutation }, name: node.name });
}

/** `where(c, l, f) = l + where(c, 0, f)`, f as low as `isHiding` says. */
function chosenScores({ inputs, name }: Node): Scores | null {
  const [condition, a, b] = inputs as [Node, Node, Node];
  for (const [product, filling, isFirst] of [[a, b, true], [b, a, false]] as const) {
    const fill = numberOf(filling);
    if (fill === null || !isHiding(fill, condition, { seen: isFirst ? 1 : 0 })) continue;
    const scores = scoresOf(product);
    if (scores === null) continue;
    const { dtype } = product.type;
    const zero = constantNode(heldData([1], Float64Array.of(0), name), { dtype, name: `${name}/seen` });
    const choices = isFirst ? [zero, uncastTo(filling, dtype)] : [uncastTo(filling, dtype), zero];
    const mask = apply("where", [condition, choices[0]!, choices[1]!], { attrs: {}, name });
    return { ...scores, masks: [...scores.masks, mask] };
  }
  return null;
}

const uncastTo = (node: Node, to: Node["type"]["dtype"]) =>
  node.type.dtype === to ? node : apply("cast", [node], { attrs: { to }, name: node.name });

/** `reshape(reshape(l; [n, W, H, T, S]) + m) = l + m`, m of each of the W windows, repeated for n images. */
function windowScores(whole: Node): Scores | null {
  const sum = uncast(whole.inputs[0]!);
  if (!isOp(sum, "add")) return null;
  for (const [parts, mask] of [sum.inputs, sum.inputs.toReversed()] as [Node, Node][]) {
    const split = uncast(parts!);
    if (!isOp(split, "reshape") || split.type.shape.length !== 5 || whole.type.shape.length !== 4) continue;
    if (!sameShape(split.inputs[0].type.shape, whole.type.shape)) continue;
    const own = mask!.type.shape;
    if (own.length === 5 && own[0] !== 1) continue;
    const scores = scoresOf(split.inputs[0]);
    if (scores === null || !sameShape(split.type.shape.slice(2), whole.type.shape.slice(1))) continue;
    const windows = own.length < 5
      ? mask!
      : apply("reshape", [mask!], { attrs: { shape: own.slice(1) }, name: mask!.name });
    return { ...scores, masks: [...scores.masks, windows] };
  }
  return null;
}

function attended(
  { name, type }: Node,
  { q, k, v, scale, masks, softmax }: Scores & { v: Node; softmax: Precision },
): Node | null {
  const four = inFourAxes([q, k, v]);
  if (four === null || !isFloat(type.dtype)) return null;
  const { heads, batch } = four;
  const [wide, keys, values] = heads.map((x) => uncastTo(uncast(x), type.dtype)) as [Node, Node, Node];
  const size = wide.type.shape[3]!;
  const [b, h, t] = wide.type.shape as [Dim, Dim, Dim, Dim];
  if (!sameShape(keys.type.shape.slice(0, 2), [b, h]) || !sameShape(values.type.shape.slice(0, 2), [b, h])) {
    return null;
  }
  const mask = sumOfMasks(masks, {
    shape: [b, h, t, keys.type.shape[2]!],
    flattened: batch,
    dtype: type.dtype,
  });
  if (mask === null) return null;
  const own = typeof size === "number" ? 1 / Math.sqrt(size) : scale;
  const usual = isAbout(scale, own, 3e-6) ? own : scale;
  const attrs = { scale: usual, causal: false, ...(softmax !== type.dtype && { softmax }) };
  const inputs = mask === undefined ? [wide, keys, values] : [wide, keys, values, mask];
  const mixed = apply("attention", inputs, { attrs, name });
  return reshaped(mixed, type.shape, name);
}

/** Heads as `[B, H, T, D]`; of `[N, T, D]` as what N was flattened from, or as N batches of a lone head. */
function inFourAxes(
  all: readonly Node[],
): { heads: readonly Node[]; batch: readonly [Dim, Dim] | null } | null {
  const rank = all[0]!.type.shape.length;
  if (rank === 4) return { heads: all, batch: null };
  if (rank !== 3) return null;
  const flattened = all.map(({ op, inputs: [x], type: { shape } }) =>
    op === "reshape" && x!.type.shape.length === 4 && sameShape(x!.type.shape.slice(2), shape.slice(1))
      ? x!
      : null
  ).find((x) => x !== null);
  const batch = (flattened ? flattened.type.shape.slice(0, 2) : [all[0]!.type.shape[0]!, 1]) as [Dim, Dim];
  const heads = all.map((x) => {
    const shape = [...batch, ...x.type.shape.slice(1)];
    return isOp(x, "reshape") && sameShape(x.inputs[0].type.shape, shape)
      ? x.inputs[0]
      : apply("reshape", [x], { attrs: { shape }, name: x.name });
  });
  return { heads, batch };
}
