/**
 * `mergeLinears`: two products with nothing between them are one, where that is less work,
 *
 *     linear(linear(x; A, a); B, b) = linear(x; B A, B a + b)
 *
 * With C inputs, M channels between and O outputs, one product takes C O multiplications a token instead of
 * (C + O) M; a low-rank factorization, whose M is small on purpose, stays. The merged weight is computed in
 * float64 on demand and rounded once. It looks at who else reads the first product, hence a pass.
 */
import type { TensorData } from "../../ir/data.ts";
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, constantNode, isOp, operand, rebuild } from "../../ops/table.ts";
import { productData } from "../../weights/derived/derive.ts";
import { foldIntoWeight } from "../../weights/derived/fold.ts";
import { isConstantLinear } from "./constants.ts";

/** @returns the graph, and how many products were merged away */
export function mergeLinears(graph: Graph): { graph: Graph; merged: number } {
  const uses = usesOf(graph);
  const seconds = new Set([...uses.keys()].filter((node) => {
    const [first] = node.inputs;
    return isConstantLinear(node) && isConstantLinear(first!) && uses.get(first!)!.length === 1 &&
      isCheaper(first!, node);
  }));
  const result = mapGraph(graph, (node, inputs) => {
    const [first] = inputs;
    // The first may itself have been merged, and then be no smaller than what it came from.
    return seconds.has(node) && isOp(first!, "linear") && isCheaper(first!, node)
      ? mergedLinear(first!, rebuild(node, inputs))
      : rebuild(node, inputs);
  });
  return { graph: result, merged: seconds.size };
}

const sizesOf = (linear: Node) => dataOf(linear.inputs[1]!).shape as [outputs: number, channels: number];

function isCheaper(first: Node, second: Node): boolean {
  const [[between, channels], [outputs]] = [sizesOf(first), sizesOf(second)];
  return outputs * channels < (outputs + channels) * between;
}

function mergedLinear(first: Node, second: Node): Node {
  const { dtype } = second.type;
  const [a, b] = [first, second].map((linear) => dataOf(linear.inputs[1]!)) as [TensorData, TensorData];
  const inputs = [first.inputs[0]!, constantNode(productData(b, a), { dtype, name: second.inputs[1]!.name })];
  const [inner, outer] = [first, second].map((linear) => operand(linear, "bias") ?? null);
  if (inner !== null || outer !== null) {
    const name = (outer ?? inner)!.name;
    inputs.push(
      constantNode(innerThrough(b, { inner: inner ?? null, outer: outer ?? null }), { dtype, name }),
    );
  }
  return apply("linear", inputs, { attrs: {}, name: second.name });
}

/** `B a + b`, where either bias may be missing. */
function innerThrough(
  weight: TensorData,
  { inner, outer }: Record<"inner" | "outer", Node | null>,
): TensorData {
  const outerBias = outer === null ? null : dataOf(outer);
  if (inner === null) return outerBias!;
  return foldIntoWeight(weight, outerBias, { shift: dataOf(inner) }).bias;
}
