/** What passes ask of a product's constants. */
import type { Node } from "../../ir/graph.ts";
import { isOp } from "../../ops/table.ts";

/** Whether a node is a linear whose weight, and bias where it has one, are constants. */
export function isConstantLinear(node: Node): boolean {
  return isOp(node, "linear") && node.inputs.slice(1).every((input) => input.op === "constant");
}
