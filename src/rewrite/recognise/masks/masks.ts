/**
 * What attention adds to its logits: masks in the operator's four axes, their sum, and the causal one. A
 * number of -10000 or less stands for minus infinity (`HIDDEN`). Files have -3.4e38 there, which fp16 and
 * bf16 get as -10000.
 */
import { elementCount, float64Of, heldData } from "../../../ir/data.ts";
import { type DType, isFloat, isNarrow } from "../../../ir/dtype.ts";
import type { Node } from "../../../ir/graph.ts";
import { broadcastShapes, type Dim, divideDims, sameShape, type Shape } from "../../../ir/shape.ts";
import { dataOf } from "../../../ops/constant.ts";
import { type AttentionNode, HIDDEN, hiddenIn } from "../../../ops/attention.ts";
import { apply, constantNode, isOp, rebuild } from "../../../ops/table.ts";
import { computedData } from "../../../weights/derived/derive.ts";
import type { Rule } from "../../driver.ts";
import { numberOf, uncast } from "../arithmetic.ts";
import { differenceOf, HOLDS } from "./places.ts";

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

export function everyRow(values: Float64Array, size: number, has: (value: number) => boolean): boolean {
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

/** A mask in the logits' type, its lowest numbers such as that type has them. */
function held(mask: Node, dtype: DType): Node {
  const hidden = hiding(mask, dtype);
  return hidden.type.dtype === dtype
    ? hidden
    : apply("cast", [hidden], { attrs: { to: dtype }, name: mask.name });
}

/** The same with `hiddenIn` of whatever hides; numbers to choose from as descriptions have them. */
function hiding(mask: Node, dtype: DType): Node {
  const { name, type } = mask;
  if (isOp(mask, "where")) {
    const [condition, ...choices] = mask.inputs;
    const chosen = choices.map((choice) => {
      const number = numberOf(choice);
      if (number === null || type.shape.length === 0) return hiding(choice, dtype);
      const data = heldData([1], Float64Array.of(hiddenIn(dtype, number)), name);
      return constantNode(data, { dtype: type.dtype, name });
    });
    return rebuild(mask, [condition, ...chosen]);
  }
  if (!isNarrow(dtype)) return mask;
  if (mask.op === "constant") {
    const data = computedData([dataOf(mask)], {
      name,
      shape: type.shape as readonly number[],
      compute: ([values]) => values!.data.map((value) => hiddenIn(dtype, value)),
    });
    return isFloat(type.dtype) ? constantNode(data, { dtype: type.dtype, name }) : mask;
  }
  const isPassed = ["mul", "reshape", "expand", "slice", "transpose"].includes(mask.op);
  return isPassed ? rebuild(mask, mask.inputs.map((input) => hiding(input, dtype))) : mask;
}

/** `[N, T, S]` as `[B, H, T, S]`; and a mask of W windows that was repeated for every image, once. */
function fourAxes(mask: Node, { shape: logits, flattened }: Logits): Node {
  // Attention repeats it.
  if (isOp(mask, "expand") && mask.type.shape.length === 4) mask = mask.inputs[0];
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
export const MOST_COMPARED = 2 ** 26;

/** The numbers of a constant that is the same for all batches and heads; null of others. */
function squareOf(node: Node | undefined): { rows: number; columns: number; values: Float64Array } | null {
  if (node?.op !== "constant") return null;
  const shape = node.type.shape as readonly number[];
  if (elementCount(shape) > MOST_COMPARED || shape.slice(0, -2).some((dim) => dim !== 1)) return null;
  return { rows: shape.at(-2) ?? 1, columns: shape.at(-1) ?? 1, values: float64Of(dataOf(node)) };
}

const CAUSAL: Rule = {
  name: "causal",
  law: "attention(.., m) = attention(..; causal), m = -infinity above the last diagonal and 0 elsewhere",
  rewrite: (node) => {
    if (!isOp(node, "attention") || node.attrs.causal) return null;
    const [q, k, v] = node.inputs;
    if (!isCausal(node)) return null;
    return apply("attention", [q, k, v], { attrs: { ...node.attrs, causal: true }, name: node.name });
  },
};

/**
 * Whether an attention's mask hides from each query the keys behind it, of `[T, S]` with the last diagonal.
 */
export function isCausal({ inputs: [q, k, , mask] }: AttentionNode): boolean {
  const tokens = [q.type.shape[2]!, k.type.shape[2]!] as const;
  if (mask === undefined || tokens[0] === 1) return false;
  if (!isOp(mask, "where")) {
    return isTriangle(mask, tokens, (value, isAbove) => isAbove ? value <= HIDDEN : value === 0);
  }
  const [first, second] = [mask.inputs[1], mask.inputs[2]].map(numberOf) as [number | null, number | null];
  if (first === null || second === null || Math.max(first, second) !== 0) return false;
  if (Math.min(first, second) > HIDDEN) return false;
  const condition = isOp(mask.inputs[0], "not") ? mask.inputs[0].inputs[0] : mask.inputs[0];
  const sees = (first === 0) === (condition === mask.inputs[0]);
  return comparesPlaces(condition, tokens, sees) ||
    isTriangle(condition, tokens, (value, isAbove) => (value !== 0) === (isAbove !== sees));
}

/** Whether a constant, or the first rows and columns of a square one, is a triangle with these values. */
function isTriangle(
  node: Node,
  [queries, keys]: readonly [Dim, Dim],
  fits: (value: number, isAbove: boolean) => boolean,
): boolean {
  if (!sameShape(node.type.shape.slice(-2), [queries, keys])) return false;
  let source = node;
  while (isOp(source, "slice") && source.attrs.start === 0 && source.attrs.step === 1) {
    source = source.inputs[0];
  }
  const square = squareOf(source);
  if (square === null) return false;
  const { rows, columns, values } = square;
  // Rows and columns that are left out lie behind those that are taken: the diagonal stays.
  if (source !== node && (rows !== columns || queries !== keys)) return false;
  return rows <= columns &&
    values.every((value, i) => fits(value, i % columns > Math.floor(i / columns) + columns - rows));
}

/** Whether a comparison of places is true, or false, up to the diagonal: `key <= query`. */
function comparesPlaces(condition: Node, [queries, keys]: readonly [Dim, Dim], sees: boolean): boolean {
  const holds = HOLDS[condition.op];
  const { shape } = condition.type;
  if (holds === undefined || !sameShape(shape.slice(-2), [queries, keys]) || queries !== keys) return false;
  const difference = differenceOf(condition.inputs as [Node, Node]);
  if (difference === null || typeof difference.offset !== "number") return false;
  const { offset, terms: [query, key, ...more] } = difference;
  const rank = shape.length;
  if (query?.axis !== rank - 2 || key?.axis !== rank - 1 || more.length > 0) return false;
  const step = key.stride;
  if ((step !== 1 && step !== -1) || query.stride !== -step) return false;
  const isSeen = (behind: number) => holds(offset + step * behind) === sees;
  // Of all but one place `equal` says the same.
  return isSeen(-1) && isSeen(0) && !isSeen(1) && !isSeen(2);
}

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

export const MASKS: readonly Rule[] = [CAUSAL, NO_MASK];
