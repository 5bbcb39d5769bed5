/**
 * `padHidden`: a few zero channels more between two products, where an activation with f(0) = 0 is all that
 * is between them,
 *
 *     W2 f(W1 x + b1) = [W2 0] f([W1; 0] x + [b1; 0])
 *
 * Rows of the hidden tensor that lie a multiple of 4096 bytes apart meet in the same sets of a processor's
 * caches, so the second product is some percent slower at such widths than beside them.
 */
import { type Graph, mapGraph, type Node, usesOf } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { apply, constantNode, isOp, opOf, rebuild } from "../../ops/table.ts";
import { paddedData } from "../../weights/derived/derive.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** In floats: 4096 bytes. */
const STRIDE = 1024;
/** A cache line of floats. */
const PADDING = 16;

/** @returns the graph, and how many hidden tensors became wider */
export function padHidden(graph: Graph): { graph: Graph; padded: number } {
  const uses = usesOf(graph);
  const widened = new Set<Node>();
  /** Those of them whose results are wider. */
  const hidden = new Set<Node>();
  let padded = 0;
  for (const node of uses.keys()) {
    const chain = chainInto(node, (node) => uses.get(node)!.length);
    if (chain === null) continue;
    padded++;
    for (const part of [node, ...chain]) widened.add(part);
    for (const part of chain) hidden.add(part);
  }
  const result = mapGraph(graph, (node, inputs) => {
    if (!widened.has(node) || !isOp(node, "linear")) return rebuild(node, inputs);
    const isSecond = widened.has(node.inputs[0]!);
    const [x, ...constants] = inputs;
    const wider = constants.map((constant, i) => {
      const data = dataOf(constant);
      const { dtype } = constant.type;
      if (isSecond && i > 0) return constant;
      const padded = paddedData(data, { axis: isSecond ? 1 : 0, extra: PADDING });
      return constantNode(padded, { dtype, name: constant.name });
    });
    return apply("linear", [x!, ...wider], { attrs: {}, name: node.name });
  }, (node) => {
    if (!hidden.has(node)) return undefined;
    const axis = node.type.shape.length - 1;
    return [{ kind: "part", axis, start: 0, size: node.type.shape[axis]!, step: 1 }];
  });
  return { graph: result, padded };
}

/** What is between a product of such a width and the one in front of it, that one included; else null. */
function chainInto(node: Node, useCount: (node: Node) => number): readonly Node[] | null {
  if (!isConstantLinear(node)) return null;
  const width = node.inputs[0]!.type.shape.at(-1);
  if (typeof width !== "number" || width % STRIDE !== 0) return null;
  const chain: Node[] = [];
  for (let at = node.inputs[0]!;; at = at.inputs[0]!) {
    chain.push(at);
    if (useCount(at) !== 1) return null;
    if (isConstantLinear(at)) return chain.length > 1 ? chain : null;
    const op = opOf(at);
    if (op.kind !== "pointwise" || !op.keepsZero || at.inputs.length > 1) return null;
  }
}
