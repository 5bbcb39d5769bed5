/**
 * Scaled dot-product attention over heads, as one operator so that each backend can use its fused kernel. The
 * heads are already split: `[B, H, T, D]`. Where the batch is of the windows of images, as Swin has it, a
 * mask of one image's windows serves every image.
 */
import { UnfoldError } from "../errors.ts";
import { type DType, isNarrow, type Precision } from "../ir/dtype.ts";
import { elementCount, heldData, type TensorData } from "../ir/data.ts";
import type { TensorType } from "../ir/graph.ts";
import { broadcastShapes, type Dim, divideDims, type Shape, showShape } from "../ir/shape.ts";
import {
  commonDType,
  defineOp,
  everyAxis,
  type InputAxis,
  type OpNode,
  type Part,
  type ReferenceTensor,
  sizesOf,
  type Track,
} from "./define.ts";
import { Misfit } from "./operands.ts";
import { binary, matmulValues, softmaxValues } from "./reference.ts";

/**
 * What is added to the logit of a key that is not to be seen, in networks that UNfold describes and, in fp16
 * and bf16, in those of files. Beside any other logit its exponential is 0 in every precision; fp16 holds it
 * and its sum with a logit; and unlike -infinity it leaves a number where a query sees no key at all. Such a
 * query, padding itself, has weights that mean nothing.
 */
export const HIDDEN = -10000;

/** What files have in its place: the lowest number of float32, beside which a logit is rounded away. */
const LOWEST = -(2 - 2 ** -23) * 2 ** 127;

/**
 * A number that hides a key as a network of a type has it: its own in fp32, never below `HIDDEN` in others.
 */
export const hiddenIn = (dtype: DType, value = LOWEST): number =>
  isNarrow(dtype) && value !== -Infinity ? Math.max(value, HIDDEN) : value;

export type AttentionAttrs = {
  /** Factor on the logits; `1 / sqrt(D)` as usual. */
  readonly scale: number;
  /** Query t of T sees keys up to t + (S - T) of S: the last sees all, as with keys of earlier tokens. */
  readonly causal: boolean;
  /** The type that the softmax is computed in, where it is another one than that of the products. */
  readonly softmax?: Precision;
};

const OPERANDS = ["q", "k", "v", ["mask"]] as const;

export type AttentionNode = OpNode<"attention", AttentionAttrs, typeof OPERANDS>;

export const attention = defineOp({
  name: "attention",
  doc:
    "softmax(scale q k^T + mask) v, with q [B, H, T, D], k and v [B, H, S, D], mask broadcast to [B, H, T, S]; " +
    "a mask [W, H, T, S] repeats along B = n W",
  operands: OPERANDS,
  infer: (inputs, { causal }: AttentionAttrs) => {
    const [q, k, v, mask] = inputs;
    const dtype = commonDType(inputs);
    if ([q, k, v].some(({ shape }) => shape.length !== 4)) {
      throw new Misfit("q, k and v must be [B, H, T, D]");
    }
    const [b, h, t, d] = q.shape as [Dim, Dim, Dim, Dim];
    const [bk, hk, s, dk] = k.shape;
    const [bv, hv, sv, dv] = v.shape;
    if (b !== bk || b !== bv || h !== hk || h !== hv || s !== sv || d !== dk) {
      throw new Misfit("batch, heads, keys and head size must agree");
    }
    if (causal && t !== s && t !== 1 && !(typeof t === "number" && typeof s === "number" && t < s)) {
      const known = "of one query, or of fixed sizes with more keys than queries";
      throw new Misfit(`a causal mask needs as many keys as queries; else it must be ${known}`);
    }
    if (mask) {
      const full = [b, h, t, s!];
      const whole = [periodOf(mask.shape, full) ?? b, ...full.slice(1)];
      const fits = broadcastShapes(mask.shape, whole);
      if (fits === null || fits.some((dim, i) => dim !== whole[i])) {
        throw new Misfit(`the mask does not broadcast to ${showShape(full)}`);
      }
    }
    return { dtype, shape: [b, h, t, dv!] };
  },
  kind: "product",
  // q k^T and the product with v, both over S keys; a causal mask leaves half of it unused but computed.
  flop: (node) => {
    const [query, key, value] = node.inputs;
    return 2 * elementCount(sizesOf(node)) * sizesOf(key)[2]! * (1 + sizesOf(query)[3]! / sizesOf(value)[3]!);
  },
  ahead: axisAhead,
  evaluate: ([q, k, v, mask], { scale, causal }) => {
    const logits = matmulValues(q, k, { transposeB: true });
    const [queries, keys] = logits.shape.slice(-2) as [number, number];
    const scaled = {
      shape: logits.shape,
      data: logits.data.map((logit, i) =>
        causal && i % keys > Math.floor(i / keys) % queries + keys - queries ? -Infinity : scale * logit
      ),
    };
    const masked = mask ? addMask(scaled, mask) : scaled;
    return matmulValues(softmaxValues(masked, 3), v);
  },
  tensorrt: (net, [q, k, v, mask], { scale, causal, softmax }, node) => {
    const { dtype } = node.type;
    const scaled = scale === 1 ? q : net.elementwise("prod", q, net.scalar(scale, dtype, 4));
    const [queries, keys] = tokensOf(node);
    // One query sees everything. TensorRT's causal mask counts from the first key, so it needs T = S.
    const isMasked = causal && queries !== 1;
    if (isMasked && queries === keys && !mask) {
      if (softmax === undefined) return net.causalAttention(scaled, k, v);
      // The operator has one type for everything.
      const [wideQ, wideK, wideV] = [scaled, k, v].map((x) => net.cast(x, softmax));
      return net.cast(net.causalAttention(wideQ!, wideK!, wideV!), dtype);
    }
    const above = isMasked ? net.constant(...causalMask(node)) : undefined;
    const both = mask && above ? net.elementwise("sum", mask, above) : mask ?? above;
    const repeated = repetitionOf(node);
    let logits = net.matmul(scaled, k, { transposeB: true });
    if (repeated !== null) logits = net.reshape(logits, repeated.whole, repeated.parts);
    if (both !== undefined) logits = net.elementwise("sum", logits, both);
    if (repeated !== null) logits = net.reshape(logits, repeated.parts, repeated.whole);
    if (softmax === undefined) return net.matmul(net.softmax(logits, 3), v);
    return net.matmul(net.cast(net.softmax(net.cast(logits, softmax), 3), dtype), v);
  },
  onnx: (g, [q, k, v, mask], { scale, causal, softmax }, node) => {
    const { dtype } = node.type;
    const keys = g.node("Transpose", [k], { perm: [0, 1, 3, 2] });
    const scaled = scale === 1 ? q : g.node("Mul", [q, g.scalar(scale, dtype)]);
    let logits = g.node("MatMul", [scaled, keys]);
    const [queries, keyCount] = tokensOf(node);
    if (causal && queries !== keyCount && queries !== 1) {
      logits = g.node("Add", [logits, g.constant(...causalMask(node))]);
    } else if (causal && queries !== 1) {
      // 1 above the diagonal, of the logits' own size, which may be open.
      const ones = g.node("Expand", [g.scalar(1, dtype), g.node("Shape", [logits])]);
      const above = g.node("Trilu", [ones, g.int64Scalar(1)], { upper: 1 });
      logits = g.node("Where", [g.cast(above, "bool"), g.scalar(-Infinity, dtype), logits]);
    }
    const repeated = repetitionOf(node);
    if (repeated !== null) logits = g.reshape(logits, repeated.whole, repeated.parts);
    if (mask) logits = g.node("Add", [logits, mask]);
    if (repeated !== null) logits = g.reshape(logits, repeated.parts, repeated.whole);
    if (softmax !== undefined) logits = g.cast(logits, softmax);
    const weights = g.node("Softmax", [logits], { axis: -1 });
    return g.node("MatMul", [softmax === undefined ? weights : g.cast(weights, dtype), v]);
  },
  // A causal mask ends in the lower right corner, so of the last queries it is the same.
  narrow: (part, node) => {
    const isLast = part.axis === 2 && part.step === 1 && part.start + part.size === node.type.shape[2];
    if (!isLast) return null;
    const mask = node.inputs[3]?.type.shape;
    const rows = mask === undefined || (mask.at(-2) ?? 1) === 1
      ? []
      : [[3, { ...part, axis: mask.length - 2 }]] as const;
    return { inputs: new Map<number, Part>([[0, part], ...rows]) };
  },
});

/** Batch, heads, and where every query sees the same keys the queries; and the channels of the values. */
function axisAhead({ axis, index }: InputAxis, node: AttentionNode): Track | null {
  const ahead = index < 3 ? { axis } : everyAxis({ axis, index }, node);
  if (ahead === null) return null;
  const isKept = [
    repetitionOf(node) === null,
    true,
    (index === 0 || index === 3) && !node.attrs.causal,
    index === 2,
  ];
  return isKept[ahead.axis] ? ahead : null;
}

/** How many windows `W` a mask `[W, H, T, S]` is of, where the batch holds several images; else null. */
function periodOf(mask: Shape, [batch]: Shape): number | null {
  const [windows] = mask;
  const repeats = mask.length === 4 && typeof windows === "number" && windows > 1 && windows !== batch;
  return repeats && divideDims(batch!, windows) !== null ? windows : null;
}

/** The logits' shape, and the one in which a mask repeated along the batch broadcasts to them; or null. */
export function repetitionOf(node: AttentionNode): { readonly whole: Shape; readonly parts: Shape } | null {
  const mask = node.inputs[3]?.type.shape;
  const [batch, heads, queries] = node.type.shape as [Dim, Dim, Dim];
  const whole = [batch, heads, queries, node.inputs[1].type.shape[2]!];
  const period = mask === undefined ? null : periodOf(mask, whole);
  if (period === null) return null;
  return { whole, parts: [divideDims(batch, period)!, period, ...whole.slice(1)] };
}

/** Logits and a mask, which may repeat along the first axis. */
function addMask(logits: ReferenceTensor, mask: ReferenceTensor): ReferenceTensor {
  const period = periodOf(mask.shape, logits.shape);
  const shape = period === null
    ? logits.shape
    : [logits.shape[0]! / period, period, ...logits.shape.slice(1)];
  const { data } = binary({ shape, data: logits.data }, mask, (a, b) => a + b);
  return { shape: logits.shape, data };
}

/** Queries T and keys S. */
function tokensOf(node: AttentionNode): readonly [Dim, Dim] {
  return [node.type.shape[2]!, node.inputs[1].type.shape[2]!];
}

/** -infinity above the diagonal that ends at the lower right of `[T, S]`, added to the logits or a mask. */
export function causalMask(node: AttentionNode): [TensorData, TensorType] {
  const [queries, keys] = tokensOf(node);
  if (typeof queries !== "number" || typeof keys !== "number") {
    throw new UnfoldError(
      `${node.name}: TensorRT takes a mask beside a causal one only where the number of tokens is fixed, not ${queries}; ` +
        "fix it, or make the mask causal",
    );
  }
  const shape = [queries, keys];
  const values = Float64Array.from(
    { length: queries * keys },
    (_, i) => i % keys > Math.floor(i / keys) + keys - queries ? -Infinity : 0,
  );
  return [heldData(shape, values, `${node.name}, causal mask`), { dtype: node.type.dtype, shape }];
}
