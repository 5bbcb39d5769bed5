/**
 * What attention adds to its logits: masks in the operator's four axes, their sum, and the causal one. A
 * number of -10000 or less stands for minus infinity: beside any other logit its exponential is 0 in every
 * precision. Files have -3.4e38 there, which fp16 and bf16 cannot hold and get as -10000; a query that sees
 * no key at all, whose row is padding itself, has then the weights of its logits.
 */
import { elementCount, float64Of } from "../../ir/data.ts";
import { type DType, isFloat, isNarrow } from "../../ir/dtype.ts";
import type { Node } from "../../ir/graph.ts";
import { broadcastShapes, type Dim, divideDims, sameShape, type Shape } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, constantNode, isOp, rebuild } from "../../ops/table.ts";
import { computedData } from "../../weights/derived/derive.ts";
import type { Rule } from "../driver.ts";
import { numberOf, uncast } from "./arithmetic.ts";

/** What is taken for minus infinity. */
const HIDDEN = -1e4;
/** So low that float32 rounds any logit away beside it. */
const SWALLOWS = -1e30;

/**
 * Whether `where(c, l, fill) = l + where(c, 0, fill)`: fill swallows l, or its exponential is zero since the
 * condition is known and lets each query see a key.
 */
export function isHiding(fill: number, condition: Node, { seen }: { readonly seen: 0 | 1 }): boolean {
  return fill <= SWALLOWS || (fill <= HIDDEN && everyRowHas(condition, seen));
}

/** Whether a condition is a constant that has a value somewhere in each of its rows. */
function everyRowHas(condition: Node, value: 0 | 1): boolean {
  if (condition.op !== "constant") return false;
  const row = condition.type.shape.at(-1) as number;
  return everyRow(float64Of(dataOf(condition)), row, (each) => (each === 0 ? 0 : 1) === value);
}

function everyRow(values: Float64Array, size: number, has: (value: number) => boolean): boolean {
  for (let start = 0; start < values.length; start += size) {
    if (!values.subarray(start, start + size).some(has)) return false;
  }
  return true;
}

/** Where masks are added, and in which type. */
interface Logits {
  /** `[B, H, T, S]`. */
  readonly shape: Shape;
  /** Batch and heads, where the file has them as one axis. */
  readonly flattened: readonly [Dim, Dim] | null;
  readonly dtype: DType;
}

/** The sum of all masks; undefined where there are none, null where they do not fit the logits' four axes. */
export function sumOfMasks(masks: readonly Node[], logits: Logits): Node | null | undefined {
  const terms = masks.flatMap(termsOf).map((mask) => fourAxes(held(mask, logits.dtype), logits));
  // Those that are known first: their sum is one constant.
  const isComputed = ({ op }: Node) => op === "constant" ? 0 : 1;
  let total: Node | undefined;
  for (const mask of terms.toSorted((a, b) => isComputed(a) - isComputed(b))) {
    if (mask.type.shape.length > 4) return null;
    if (total !== undefined && broadcastShapes(total.type.shape, mask.type.shape) === null) return null;
    total = total === undefined ? mask : apply("add", [total, mask], { attrs: {}, name: mask.name });
  }
  if (total === undefined) return total;
  const [first, ...rest] = [...logits.shape.slice(total.type.shape.length).map(() => 1), ...total.type.shape];
  const fits = rest.every((dim, i) => dim === 1 || dim === logits.shape[i + 1]);
  const isRepeated = typeof first === "number" && divideDims(logits.shape[0]!, first) !== null;
  return fits && (first === logits.shape[0] || isRepeated) ? total : null;
}

function termsOf(mask: Node): readonly Node[] {
  const sum = uncast(mask);
  return isOp(sum, "add") ? sum.inputs.flatMap(termsOf) : [sum];
}

/** A mask in the logits' type, its lowest numbers such as that type holds. */
function held(mask: Node, dtype: DType): Node {
  const lowest = isNarrow(dtype) ? raised(mask) : mask;
  return lowest.type.dtype === dtype
    ? lowest
    : apply("cast", [lowest], { attrs: { to: dtype }, name: mask.name });
}

/** The same with -10000 for whatever is lower, minus infinity aside. */
function raised(mask: Node): Node {
  if (mask.op === "constant") {
    const { dtype, shape } = mask.type;
    const raise = (value: number) => value < HIDDEN && value !== -Infinity ? HIDDEN : value;
    const data = computedData([dataOf(mask)], {
      name: mask.name,
      shape: shape as readonly number[],
      compute: ([values]) => values!.data.map(raise),
    });
    return isFloat(dtype) ? constantNode(data, { dtype, name: mask.name }) : mask;
  }
  const isPassed = ["where", "mul", "reshape", "expand", "slice", "transpose"].includes(mask.op);
  return isPassed ? rebuild(mask, mask.inputs.map(raised)) : mask;
}

/** `[N, T, S]` as `[B, H, T, S]`; and a mask of W windows that was repeated for every image, once. */
function fourAxes(mask: Node, { shape: logits, flattened }: Logits): Node {
  const { shape } = mask.type;
  const reshaped = (x: Node, shape: Shape) => apply("reshape", [x], { attrs: { shape }, name: mask.name });
  if (flattened !== null && shape.length === 3 && shape[0] !== 1) {
    return reshaped(mask, [...flattened, ...shape.slice(1)]);
  }
  const many = mask.inputs[0];
  if (!isOp(mask, "reshape") || many === undefined || !isOp(many, "expand")) return mask;
  const [once] = many.inputs;
  const own = once.type.shape;
  const isRepeated = own.length === 5 && own[0] === 1 && sameShape(shape, logits) &&
    sameShape(many.type.shape.slice(2), logits.slice(1));
  return isRepeated ? reshaped(once, own.slice(1)) : mask;
}

/** More entries of a mask than are looked at: those of 8192 tokens. */
const MOST_COMPARED = 2 ** 26;

/** The numbers of a mask that is the same for all batches and heads; null of others. */
function squareOf(mask: Node | undefined): { rows: number; columns: number; values: Float64Array } | null {
  if (mask?.op !== "constant") return null;
  const shape = mask.type.shape as readonly number[];
  if (elementCount(shape) > MOST_COMPARED || shape.slice(0, -2).some((dim) => dim !== 1)) return null;
  return { rows: shape.at(-2) ?? 1, columns: shape.at(-1) ?? 1, values: float64Of(dataOf(mask)) };
}

const CAUSAL: Rule = {
  name: "causal",
  law: "attention(.., m) = attention(..; causal), m = -infinity above the last diagonal and 0 elsewhere",
  rewrite: (node) => {
    if (!isOp(node, "attention") || node.attrs.causal) return null;
    const [q, k, v, mask] = node.inputs;
    const square = squareOf(mask);
    const [queries, keys] = [q.type.shape[2], k.type.shape[2]];
    if (square === null || square.rows !== queries || square.columns !== keys) return null;
    const { rows, columns, values } = square;
    if (rows > columns || rows === 1) return null;
    const isAbove = (i: number) => i % columns > Math.floor(i / columns) + columns - rows;
    if (!values.every((value, i) => isAbove(i) ? value <= HIDDEN : value === 0)) return null;
    return apply("attention", [q, k, v], { attrs: { ...node.attrs, causal: true }, name: node.name });
  },
};

const NO_MASK: Rule = {
  name: "no-mask",
  law: "attention(.., 0) = attention(..)",
  rewrite: (node) => {
    const mask = isOp(node, "attention") ? node.inputs[3] : undefined;
    const isNothing = mask !== undefined &&
      (numberOf(mask) === 0 || squareOf(mask)?.values.every((v) => v === 0));
    if (!isNothing) return null;
    const attrs = node.attrs as { scale: number; causal: boolean };
    return apply("attention", node.inputs.slice(0, 3), { attrs, name: node.name });
  },
};

const GUARD: Rule = {
  name: "guard-behind-attention",
  law:
    "where(isnan(w), 0, w) v = where(isnan(w v), 0, w v), w a softmax, of whose rows all or none are numbers",
  rewrite: (node) => {
    const [guarded, v] = node.inputs;
    if (!isOp(node, "matmul") || node.attrs.transposeA || !isOp(guarded!, "where")) return null;
    const [condition, zero, weights] = guarded.inputs;
    const softmax = uncast(weights);
    const rank = node.type.shape.length;
    if (!isOp(condition, "is_nan") || condition.inputs[0] !== weights || numberOf(zero) !== 0) return null;
    if (!isOp(softmax, "softmax") || (softmax.attrs.axis !== -1 && softmax.attrs.axis !== rank - 1)) {
      return null;
    }
    const { name } = node;
    const mixed = apply("matmul", [weights, v!], { attrs: node.attrs, name });
    const isNan = apply("is_nan", [mixed], { attrs: {}, name });
    return apply("where", [isNan, zero, mixed], { attrs: {}, name });
  },
};

const NO_GUARD: Rule = {
  name: "no-guard",
  law: "where(isnan(y), 0, y) = y, y an attention each of whose queries sees a key",
  rewrite: (node) => {
    if (!isOp(node, "where") || !isOp(node.inputs[0], "is_nan") || numberOf(node.inputs[1]) !== 0) {
      return null;
    }
    const y = node.inputs[2];
    if (node.inputs[0].inputs[0] !== y || !isOp(y, "attention")) return null;
    const mask = y.inputs[3];
    return mask === undefined || isFinite(mask) ? y : null;
  },
};

/** Whether a mask hides no row whole: made of finite numbers, or a constant with one in each row. */
function isFinite(mask: Node): boolean {
  if (isOp(mask, "where")) return [mask.inputs[1], mask.inputs[2]].every(isFinite);
  if (["reshape", "expand", "slice", "transpose"].includes(mask.op)) return isFinite(mask.inputs[0]!);
  if (isOp(mask, "add")) return mask.inputs.every(isFinite);
  if (mask.op !== "constant") return false;
  const shape = mask.type.shape as readonly number[];
  return elementCount(shape) <= MOST_COMPARED &&
    everyRow(float64Of(dataOf(mask)), shape.at(-1) ?? 1, (value) => value > -Infinity);
}

export const MASKS: readonly Rule[] = [CAUSAL, NO_MASK, GUARD, NO_GUARD];
