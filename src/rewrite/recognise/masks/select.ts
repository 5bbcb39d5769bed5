/**
 * Choices written out. tf2onnx has no `Where` of old opsets that broadcasts, and multiplies by truth values:
 *
 *     c a + (not c) b = where(c, a, b)
 *
 * of finite a and b, which the product would make NaN of where they are not chosen.
 */
import { sameShape } from "../../../ir/shape.ts";
import type { Node } from "../../../ir/graph.ts";
import { apply, isOp } from "../../../ops/table.ts";
import type { Rule } from "../../driver.ts";
import { besides } from "../arithmetic.ts";

/** The condition of `cast(c) x`, and x. */
function gateOf(node: Node): { condition: Node; x: Node } | null {
  const once = (operand: Node) => isOp(operand, "expand") ? operand.inputs[0] : operand;
  const isGate = (operand: Node) =>
    isOp(once(operand), "cast") && once(operand).inputs[0]!.type.dtype === "bool";
  const found = isOp(node, "mul") ? besides(node, isGate) : null;
  return found && { condition: once(found[0]).inputs[0]!, x: found[1] };
}

export const SELECT: Rule = {
  name: "select",
  law: "c a + (not c) b = where(c, a, b), a and b finite",
  rewrite: (node) => {
    if (!isOp(node, "add")) return null;
    const gates = node.inputs.map(gateOf);
    for (const [yes, no] of [gates, gates.toReversed()]) {
      if (!yes || !no || !isOp(no.condition, "not") || no.condition.inputs[0] !== yes.condition) continue;
      const chosen = apply("where", [yes.condition, yes.x, no.x], { attrs: {}, name: node.name });
      if (sameShape(chosen.type.shape, node.type.shape)) return chosen;
    }
    return null;
  },
};
