/** What passes ask of a product's constants, and a product with others. */
import type { TensorData } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, constantNode, isOp } from "../../ops/table.ts";

/** A product's constants; the bias null where it has none. */
export interface Constants {
  readonly weight: TensorData;
  readonly bias: TensorData | null;
}

/** Whether a node is a linear whose weight, and bias where it has one, are constants. */
export function isConstantLinear(node: Node): boolean {
  return isOp(node, "linear") && node.inputs.slice(1).every((input) => input.op === "constant");
}

export function constantsOf({ inputs: [, weight, bias] }: Node): Constants {
  return { weight: dataOf(weight!), bias: bias === undefined ? null : dataOf(bias) };
}

/** A product of `x` with other constants, under the names of a linear's own. */
export function withConstants(linear: Node, x: Node, { weight, bias }: Constants): Node {
  const [, oldWeight, oldBias] = linear.inputs;
  const constant = (data: TensorData, old: Node | undefined, name: string) =>
    old !== undefined && data === dataOf(old)
      ? old
      : constantNode(data, { dtype: oldWeight!.type.dtype, name: old?.name ?? name });
  const inputs = [x, constant(weight, oldWeight, `${linear.name}.weight`)];
  if (bias !== null) inputs.push(constant(bias, oldBias, `${linear.name}.bias`));
  return apply("linear", inputs, { attrs: {}, name: linear.name });
}
