/**
 * Choices written out. tf2onnx has no `Where` of old opsets that broadcasts, and multiplies by truth values:
 *
 *     c a + (not c) b = where(c, a, b)
 *
 * of finite a and b, which the product would make NaN of where they are not chosen. Keras joins the mask that
 * it was given, of ones where it was given none, with the causal one.
 */
import { float64Of } from "../../ir/data.ts";
import { sameShape } from "../../ir/shape.ts";
import type { Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { besides } from "./arithmetic.ts";

/** The condition of `cast(c) x`, and x. */
function gateOf(node: Node): { condition: Node; x: Node } | null {
  const isGate = (operand: Node) => isOp(operand, "cast") && operand.inputs[0].type.dtype === "bool";
  const found = isOp(node, "mul") ? besides(node, isGate) : null;
  return found && { condition: found[0].inputs[0]!, x: found[1] };
}

const SELECT: Rule = {
  name: "select",
  law: "c a + (not c) b = where(c, a, b), a and b finite",
  rewrite: (node) => {
    if (!isOp(node, "add")) return null;
    const gates = node.inputs.map(gateOf);
    for (const [yes, no] of [gates, gates.toReversed()]) {
      if (!yes || !no || !isOp(no.condition, "not") || no.condition.inputs[0] !== yes.condition) continue;
      return apply("where", [yes.condition, yes.x, no.x], { attrs: {}, name: node.name });
    }
    return null;
  },
};

const AND_TRUE: Rule = {
  name: "and-true",
  law: "true and x = x",
  rewrite: (node) => {
    const found = isOp(node, "and") ? besides(node, isTrue) : null;
    if (found === null) return null;
    const [, x] = found;
    const { shape } = node.type;
    if (sameShape(x.type.shape, shape)) return x;
    return x.type.shape.length === shape.length
      ? apply("expand", [x], { attrs: { shape }, name: node.name })
      : null;
  },
};

function isTrue(node: Node): boolean {
  while (isOp(node, "expand") || isOp(node, "reshape")) node = node.inputs[0];
  // One that was repeated; larger masks are not read for it.
  const isSmall = node.op === "constant" && node.type.shape.every((dim) => dim === 1);
  return isSmall && float64Of(dataOf(node))[0] !== 0;
}

const WHERE_REPEATED: Rule = {
  name: "where-repeated",
  law: "where(expand(c), a, b) = where(c, a, b), of which a or b has the shape",
  rewrite: (node) => {
    const [repeated, a, b] = node.inputs;
    if (!isOp(node, "where") || !isOp(repeated!, "expand")) return null;
    if (![a!, b!].some(({ type }) => sameShape(type.shape, node.type.shape))) return null;
    return apply("where", [repeated.inputs[0], a!, b!], { attrs: {}, name: node.name });
  },
};

export const CHOICES: readonly Rule[] = [SELECT, AND_TRUE, WHERE_REPEATED];
