/** What passes that move biases share: reading constant vectors and giving a linear another bias. */
import { float64Of, heldData } from "../ir/data.ts";
import type { Node } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import { apply, constantNode, isOp } from "../ops/mod.ts";

/** Whether a node is a linear whose weight, and bias where it has one, are constants. */
export function isConstantLinear(node: Node): boolean {
  return isOp(node, "linear") && node.inputs.slice(1).every((input) => input.op === "constant");
}

/** A linear's bias in float64; null where it has none. */
export function biasOf(linear: Node): Float64Array | null {
  const bias = linear.inputs[2];
  return bias === undefined ? null : float64Of(dataOf(bias));
}

/** The linear on input `x` with another bias; none where it is null. */
export function withBias(linear: Node, x: Node, bias: Float64Array | null): Node {
  const inputs = [x, linear.inputs[1]!];
  if (bias !== null) {
    const { dtype } = linear.type;
    const name = linear.inputs[2]?.name ?? `${linear.name}.bias`;
    inputs.push(constantNode(heldData([bias.length], bias, name), { dtype, name }));
  }
  return apply("linear", inputs, { attrs: {}, name: linear.name });
}
