/**
 * Hard swish written out: `x clip(x + 3; 0, 6) / 6 = hard_swish(x)`, by a ReLU6, by a minimum and a maximum,
 * or by a hard sigmoid of 1/6 and 1/2. Other slopes and bounds are other functions, and stay.
 */
import type { Node } from "../../ir/graph.ts";
import { apply, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { besides, gated, isAbout, isPolynomial, numberOf } from "./arithmetic.ts";

export const HARD_SWISH: Rule = {
  name: "hard-swish",
  law: "x clip(x + 3; 0, 6) / 6 = hard_swish(x)",
  rewrite: (node) => {
    const x = gated(node, { gateOf: lineOf }, ({ outer, inner, gate }) => {
      const { high, alpha, beta } = lineOf(gate)!;
      const [slope, start] = [inner.terms.get("1") ?? 0, inner.terms.get("0") ?? 0];
      return inner.terms.size <= 2 && isAbout(slope * alpha / high, 1 / 6) &&
        isAbout((start * alpha + beta) / high, 1 / 2) && isPolynomial(outer, { "1,1": 1 / high });
    });
    return x && apply("hard_swish", [x], { attrs: {}, name: node.name });
  },
};

/** A line cut off at 0 and `high`: `clip(alpha of + beta; 0, high)`; null of other nodes. */
function lineOf(node: Node): { of: Node; alpha: number; beta: number; high: number } | null {
  if (isOp(node, "hard_sigmoid")) return { of: node.inputs[0], ...node.attrs, high: 1 };
  const least = isOp(node, "min") ? besides(node, (operand) => numberOf(operand) !== null) : null;
  if (least !== null) {
    const floor = flooredAtZero(least[1]);
    return floor && { of: floor, alpha: 1, beta: 0, high: numberOf(least[0])! };
  }
  const floored = flooredAtZero(node);
  const cut = floored && isOp(floored, "min")
    ? besides(floored, (operand) => numberOf(operand) !== null)
    : null;
  return cut && { of: cut[1], alpha: 1, beta: 0, high: numberOf(cut[0])! };
}

/** The x of `max(x, 0)`. */
function flooredAtZero(node: Node): Node | null {
  if (isOp(node, "relu")) return node.inputs[0];
  return isOp(node, "max") ? besides(node, (operand) => numberOf(operand) === 0)?.[1] ?? null : null;
}
