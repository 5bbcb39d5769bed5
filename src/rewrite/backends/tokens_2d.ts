/**
 * Tokens as a matrix: laws that take the batch and token axes together, `[B, T, C]` to `[B T, C]`, in front of a product and
 * keep them together through everything that looks at one token at a time. Their axes come apart again where heads or
 * windows are. TensorRT then sees one matrix all along the residual stream and moves nothing between two products.
 */
import type { Node } from "../../ir/graph.ts";
import { sameShape, type Shape, sizeOf } from "../../ir/shape.ts";
import { apply, type AttrsOf, isOp, type OpName } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";

/** Functions of a token alone: of single numbers, or along the channels. */
const TOKENWISE: readonly OpName[] = ["gelu", "relu", "silu", "tanh", "dynamic_tanh"];
const CHANNELWISE: readonly OpName[] = ["channel_affine", "layer_norm", "rms_norm"];
const ELEMENTWISE: readonly OpName[] = ["add", "mul", "sub"];

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
      const [x, ...vectors] = node.inputs;
      const inner = x && matrixOf(x);
      if (!inner || !isTokenwise(node)) return null;
      // The channels are the last axis whatever the rank is.
      const attrs = isOp(node, "channel_affine") ? { ...node.attrs, axis: -1 } : node.attrs;
      const result = apply(node.op as OpName, [inner, ...vectors], {
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
      if (!ELEMENTWISE.some((op) => isOp(node, op)) || !node.inputs.some(matrixOf)) return null;
      const { shape } = node.type;
      const inputs = node.inputs.map((input) =>
        sameShape(input.type.shape, shape)
          ? asMatrix(input)
          : isVector(input.type.shape)
          ? reshaped(input, [input.type.shape.at(-1)!])
          : null
      );
      if (!inputs.every((input) => input !== null)) return null;
      const sum = apply(node.op as "add", inputs, { attrs: {}, name: node.name });
      return reshaped(sum, shape);
    },
  },
  {
    name: "matrix-slice",
    law: "slice(reshape(x); channels) = reshape(slice(x; channels))",
    rewrite: (node) => {
      const inner = isOp(node, "slice") ? matrixOf(node.inputs[0]!) : null;
      if (inner === null || !isOp(node, "slice")) return null;
      const { axis } = node.attrs;
      if (axis !== -1 && axis !== node.type.shape.length - 1) return null;
      const part = apply("slice", [inner], { attrs: { ...node.attrs, axis: -1 }, name: node.name });
      return reshaped(part, node.type.shape);
    },
  },
];

function isTokenwise(node: Node): boolean {
  if (TOKENWISE.some((op) => isOp(node, op))) return true;
  if (!CHANNELWISE.some((op) => isOp(node, op))) return false;
  return !isOp(node, "channel_affine") || [-1, node.type.shape.length - 1].includes(node.attrs.axis);
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

function reshaped(node: Node, shape: Shape): Node {
  return sameShape(node.type.shape, shape)
    ? node
    : apply("reshape", [node], { attrs: { shape }, name: node.name });
}
