/**
 * Queries that see no key: what padding is made of. The softmax of nothing but minus infinities is no number,
 * and `scaled_dot_product_attention` gives zeros for it, which TorchScript writes as a guard behind the
 * softmax. The guard goes where each query sees a key. Elsewhere it becomes a choice by the condition of the
 * mask, `where(sees, y, 0)` with sees true of a query that sees some key, and the mask finite: no backend has
 * to make and find what is no number, and the choice, which is one of whole tokens, goes behind the moves
 * that join the heads.
 */
import { elementCount, float64Of, heldData } from "../../../ir/data.ts";
import type { Node } from "../../../ir/graph.ts";
import { type Dim, sameShape, sizeOf } from "../../../ir/shape.ts";
import { dataOf } from "../../../ops/constant.ts";
import { hiddenIn } from "../../../ops/attention.ts";
import { apply, constantNode, isOp, rebuild } from "../../../ops/table.ts";
import type { Rule } from "../../driver.ts";
import { besides, numberOf, uncast } from "../arithmetic.ts";
import { everyRow, isCausal, MOST_COMPARED } from "./masks.ts";

const GUARD: Rule = {
  name: "guard-behind-attention",
  law:
    "where(isnan(w), 0, w) v = where(isnan(w v), 0, w v), w a softmax, of whose rows all or none are numbers, v finite",
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
    const y = guardedBy(node);
    if (y === null || !isOp(y, "attention")) return null;
    const mask = y.inputs[3];
    // What is causal may hide the one key that a row of the mask shows.
    return mask === undefined || isFinite(mask) || (!y.attrs.causal && showsAKey(mask)) ? y : null;
  },
};

/** Whether a mask hides no row whole: a constant with a finite number in each, or that and finite ones. */
function showsAKey(mask: Node): boolean {
  if (isOp(mask, "add")) {
    const finite = besides(mask, isFinite);
    return finite !== null && showsAKey(finite[1]);
  }
  return isOp(mask, "expand") ? showsAKey(mask.inputs[0]) : hasFinite(mask, mask.type.shape.at(-1) ?? 1);
}

/** Whether a mask is made of finite numbers. */
function isFinite(mask: Node): boolean {
  if (isOp(mask, "where")) return [mask.inputs[1], mask.inputs[2]].every(isFinite);
  if (["reshape", "expand", "slice", "transpose"].includes(mask.op)) return isFinite(mask.inputs[0]!);
  return isOp(mask, "add") ? mask.inputs.every(isFinite) : hasFinite(mask, 1);
}

/** Whether a constant has a finite number among each `size` of its elements. */
function hasFinite(mask: Node, size: Dim): boolean {
  if (mask.op !== "constant" || elementCount(mask.type.shape as readonly number[]) > MOST_COMPARED) {
    return false;
  }
  return everyRow(float64Of(dataOf(mask)), size as number, (value) => value > -Infinity);
}

/** The y and the condition of `where(sees, y, 0)`, the choice of tokens; null of other nodes. */
function chosenOf(node: Node): { sees: Node; y: Node; zero: Node } | null {
  if (!isOp(node, "where") || numberOf(node.inputs[2]) !== 0) return null;
  const [sees, y, zero] = node.inputs;
  const rank = y.type.shape.length;
  // One that is repeated already would have to be moved, too.
  if (zero.type.shape.length > 1 || zero.type.shape.some((dim) => dim !== 1)) return null;
  return sees.type.shape.length === rank && sees.type.shape.at(-1) === 1 && isOfAttention(y)
    ? { sees, y, zero }
    : null;
}

const isOfAttention = (node: Node): boolean =>
  isOp(node, "attention") ||
  (isOp(node, "transpose") || isOp(node, "reshape")) && isOfAttention(node.inputs[0]!);

const SEES: Rule = {
  name: "sees",
  law:
    "where(isnan(y), 0, y) = where(any c, y', 0), y = attention(.., where(c, 0, -infinity)), y' with a number",
  rewrite: (node) => {
    const y = guardedBy(node);
    const mask = y?.inputs[3];
    if (y === null || !isOp(y, "attention") || mask === undefined || !isOp(mask, "where")) return null;
    // Each query sees itself; of what is causal besides, the mask does not tell what it sees.
    if (y.attrs.causal || isCausal(y)) return null;
    const [condition, zero, hidden] = mask.inputs;
    if (numberOf(zero) !== 0 || numberOf(hidden) !== -Infinity || condition.type.shape.length !== 4) {
      return null;
    }
    const { name, type: { dtype } } = node;
    const number = (value: number) =>
      constantNode(heldData([1], Float64Array.of(value), name), { dtype, name: `${name}/number` });
    const finite = apply("where", [condition, zero, number(hiddenIn(dtype))], { attrs: {}, name: mask.name });
    const counted = apply("cast", [condition], { attrs: { to: dtype }, name: mask.name });
    const keys = apply("reduce_sum", [counted], { attrs: { axes: [3], keepDims: true }, name: mask.name });
    const sees = apply("greater", [keys, number(0)], { attrs: {}, name: mask.name });
    const whole = rebuild(y, [...y.inputs.slice(0, 3), finite]);
    return apply("where", [sees, whole, number(0)], { attrs: {}, name });
  },
};

/** The y of `where(isnan(y), 0, y)`; null of other nodes. */
function guardedBy(node: Node): Node | null {
  if (!isOp(node, "where") || !isOp(node.inputs[0], "is_nan") || numberOf(node.inputs[1]) !== 0) return null;
  return node.inputs[0].inputs[0] === node.inputs[2] ? node.inputs[2] : null;
}

const CHOSEN_LATER: Rule = {
  name: "chosen-later",
  law: "move(where(sees, y, 0)) = where(move(sees), move(y), 0), tokens moved whole",
  rewrite: (node) => {
    const chosen = node.inputs[0] === undefined ? null : chosenOf(node.inputs[0]);
    if (chosen === null) return null;
    const { sees, y, zero } = chosen;
    const { name, type: { shape } } = node;
    if (isOp(node, "transpose")) {
      if (node.attrs.permutation.at(-1) !== shape.length - 1) return null;
      return apply("where", [rebuild(node, [sees]), rebuild(node, [y]), zero], { attrs: {}, name });
    }
    const moved = isOp(node, "reshape") ? reshapedTokens(sees, y, node) : null;
    return moved && apply("where", [moved, rebuild(node, [y]), zero], { attrs: {}, name });
  },
};

/**
 * A condition of tokens `[.., 1]` for what they are reshaped to: only their channels, the last axes, join.
 */
function reshapedTokens(sees: Node, y: Node, { name, type: { shape } }: Node): Node | null {
  const [from, own] = [y.type.shape, sees.type.shape];
  const tokens = shape.slice(0, -1);
  const count = from.findIndex((_, i) => sizeOf(from.slice(0, i + 1)) === sizeOf(tokens)) + 1;
  if (count === 0 || own.slice(count).some((dim) => dim !== 1)) return null;
  const reshaped = (x: Node, shape: readonly Dim[]) => apply("reshape", [x], { attrs: { shape }, name });
  if (sameShape(from.slice(0, count), tokens)) return reshaped(sees, [...own.slice(0, count), 1]);
  const all = [...from.slice(0, count), ...own.slice(count)];
  return reshaped(apply("expand", [sees], { attrs: { shape: all }, name }), [...tokens, 1]);
}

export const UNSEEN: readonly Rule[] = [GUARD, NO_GUARD, SEES, CHOSEN_LATER];
