/**
 * Tokens as a matrix: laws that merge the batch and token axes, `[B, T, C]` to `[B T, C]`, in front of a
 * product and keep them merged through every operator on single tokens. Heads and windows split them again.
 * TensorRT then sees one matrix along the whole residual stream and moves nothing between two products.
 */
import type { Node } from "../../ir/graph.ts";
import { sameShape, type Shape, sizeOf } from "../../ir/shape.ts";
import { wholeAxesBehind } from "../../ops/channels.ts";
import { apply, type AttrsOf, isOp, type OpName, opOf, rebuild } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { reshaped } from "../shaped.ts";

const MATRIX_PRODUCT: Rule = {
  name: "matrix-product",
  law: "linear(x) = reshape(linear(reshape(x; [B T, C])); [B, T, O])",
  rewrite: (node) => {
    if (!isOp(node, "linear") || node.type.shape.length < 3) return null;
    const [x, ...constants] = node.inputs;
    const product = apply("linear", [asMatrix(x!), ...constants], { attrs: {}, name: node.name });
    return reshaped(product, node.type.shape);
  },
};

export const TOKENS_2D: readonly Rule[] = [
  MATRIX_PRODUCT,
  {
    name: "matrix-function",
    law: "f(reshape(x)) = reshape(f(x)), f of each token",
    rewrite: (node) => {
      const [x, ...constants] = node.inputs;
      const inner = x && matrixOf(x);
      if (!inner || isBroadcast(node) || !isTokenwise(node)) return null;
      // The channels are the last axis whatever the rank is.
      const attrs = "axis" in node.attrs ? { ...node.attrs, axis: -1 } : node.attrs;
      const result = apply(node.op as OpName, [inner, ...constants], {
        attrs: attrs as AttrsOf<OpName>,
        name: node.name,
      });
      return reshaped(result, node.type.shape);
    },
  },
  {
    name: "matrix-sum",
    law: "reshape(a) + b = reshape(a + reshape(b; [B T, C]))",
    rewrite: (node) => {
      if (!isBroadcast(node) || !node.inputs.some(matrixOf)) return null;
      const { shape } = node.type;
      const inputs = node.inputs.map((input) =>
        sameShape(input.type.shape, shape)
          ? asMatrix(input)
          : isVector(input.type.shape)
          ? reshaped(input, input.type.shape.slice(-1))
          : null
      );
      if (!inputs.every((input) => input !== null)) return null;
      const sum = rebuild(node, inputs);
      return reshaped(sum, shape);
    },
  },
];

/** Whether a node combines elements of several tensors place by place. */
function isBroadcast(node: Node): boolean {
  return opOf(node).kind === "pointwise" && node.inputs.length > 1;
}

/**
 * Whether each row along the last axis is a function of that row of the first input, by attributes that are
 * of no other axis: every other axis stays where it is, and other inputs are read whole.
 */
export function isTokenwise(node: Node): boolean {
  const { shape } = node.type;
  const isOfAxes = Object.values(node.attrs).some((value) => Array.isArray(value));
  if (isOfAxes || node.inputs[0]!.type.shape.length !== shape.length) return false;
  return shape.slice(0, -1).every((_, axis) => {
    const [at, ...rest] = wholeAxesBehind(node, axis) ?? [null];
    return at === axis && rest.every((other) => other === null);
  });
}

/** `[N, C]` where a node is that and no more under a shape `[..., C]`; else null. */
function matrixOf(node: Node): Node | null {
  const inner = node.inputs[0];
  return isOp(node, "reshape") && inner!.type.shape.length === 2 && node.type.shape.length > 2 &&
      inner!.type.shape[1] === node.type.shape.at(-1)
    ? inner!
    : null;
}

function asMatrix(node: Node): Node {
  const { shape } = node.type;
  return matrixOf(node) ?? reshaped(node, [sizeOf(shape.slice(0, -1)), shape.at(-1)!]);
}

/** Whether only the last axis has a size. */
const isVector = (shape: Shape) => shape.slice(0, -1).every((dim) => dim === 1);
