/**
 * Queries, keys and values as parts of their product. A packed product is split into heads first and then
 * taken apart, by slices, by a split or by single indices, where the DSL takes rows of the product and splits
 * those:
 *
 *     slice_i(transpose(x; p)) = transpose(slice_i(x); p)
 *     slice_i(reshape(y; [.., 3, H, D])) = reshape(slice_i(y); [.., 1, H, D])
 *
 * Functions of flattened or transposed tokens are those of the tokens.
 */
import type { Node } from "../../ir/graph.ts";
import { axisIn, multiplyDims, sameShape, type Shape, sizeOf } from "../../ir/shape.ts";
import { apply, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { besides } from "./arithmetic.ts";

const SLICE_OF_TRANSPOSE: Rule = {
  name: "slice-of-transpose",
  law: "slice(transpose(x; p); axis i) = transpose(slice(x; axis p_i); p), of one element",
  rewrite: (node) => {
    const [moved] = node.inputs;
    if (!isOp(node, "slice") || !isOp(moved!, "transpose") || node.attrs.size !== 1) return null;
    const axis = moved.attrs.permutation[axisIn(node.attrs.axis, node.type.shape.length, "slice")]!;
    const part = apply("slice", moved.inputs, { attrs: { ...node.attrs, axis }, name: node.name });
    return apply("transpose", [part], { attrs: moved.attrs, name: node.name });
  },
};

const SLICE_OF_SPLIT_AXIS: Rule = {
  name: "slice-of-split-axis",
  law: "slice(reshape(y; [.., n, m]); one of n) = reshape(slice(y; m of n m); [.., 1, m])",
  rewrite: (node) => {
    const [split] = node.inputs;
    if (!isOp(node, "slice") || !isOp(split!, "reshape") || node.attrs.size !== 1) return null;
    const { shape } = split.type;
    const [y] = split.inputs;
    const axis = axisIn(node.attrs.axis, shape.length, "slice");
    const chunk = sizeOf(shape.slice(axis + 1));
    const last = y.type.shape.at(-1);
    if (typeof chunk !== "number" || chunk === 1 || multiplyDims(chunk, shape[axis]!) !== last) return null;
    const attrs = { axis: -1, start: node.attrs.start * chunk, size: chunk, step: 1 };
    const part = apply("slice", [y], { attrs, name: node.name });
    return apply("reshape", [part], { attrs: { shape: node.type.shape }, name: node.name });
  },
};

export const FUNCTION_OF_ROWS: Rule = {
  name: "function-of-rows",
  law: "f(reshape(x; [B T, C])) = reshape(f(x); [B T, O]), f a product or an affine of channels",
  rewrite: (node) => {
    const isOfRows = isOp(node, "linear") ||
      (isOp(node, "channel_affine") && [1, -1].includes(node.attrs.axis));
    const [flat, ...constants] = node.inputs;
    const x = isOfRows && isOp(flat!, "reshape") ? flat.inputs[0] : null;
    if (x === null || flat!.type.shape.length !== 2 || x.type.shape.length < 3) return null;
    if (x.type.shape.at(-1) !== flat!.type.shape[1]) return null;
    // A lone token is a row as it is.
    if (x.type.shape.slice(0, -1).filter((dim) => dim !== 1).length < 2) return null;
    const attrs = isOp(node, "channel_affine") ? { ...node.attrs, axis: -1 } : {};
    const inner = apply(node.op as "linear", [x, ...constants], { attrs, name: node.name });
    return apply("reshape", [inner], { attrs: { shape: node.type.shape }, name: node.name });
  },
};

const PRODUCT_OF_TRANSPOSE: Rule = {
  name: "product-of-transpose",
  law: "linear(transpose(x; [1, 0, 2])) = transpose(linear(x); [1, 0, 2])",
  rewrite: (node) => {
    if (!isOp(node, "linear")) return null;
    const [moved, ...constants] = node.inputs;
    if (!isOp(moved, "transpose") || !sameShape(moved.attrs.permutation, [1, 0, 2])) return null;
    const product = apply("linear", [moved.inputs[0], ...constants], { attrs: {}, name: node.name });
    return apply("transpose", [product], { attrs: moved.attrs, name: node.name });
  },
};

const BIAS_OF_HEADS: Rule = {
  name: "bias-of-heads",
  law: "reshape(linear(x; W); [.., H, D]) + b = reshape(linear(x; W, b); [.., H, D]), b of [H, D]",
  rewrite: (node, isShared) => {
    const found = isOp(node, "add") ? besides(node, ({ op }) => op === "constant") : null;
    if (found === null) return null;
    const [bias, split] = found;
    const product = split.inputs[0];
    if (!isOp(split, "reshape") || isShared?.(split) || !isOp(product!, "linear") || isShared?.(product)) {
      return null;
    }
    const { shape } = split.type;
    const [outputs] = product.inputs[1].type.shape as [number];
    const own = bias.type.shape.slice(bias.type.shape.findIndex((dim) => dim !== 1));
    const fits = product.inputs.length === 2 && sameShape(shape, node.type.shape) && own.length > 1 &&
      sizeOf(own) === outputs && sameShape(own, shape.slice(-own.length));
    if (!fits) return null;
    const { name } = product;
    const vector = apply("reshape", [bias], { attrs: { shape: [outputs] }, name: bias.name });
    const whole = apply("linear", [...product.inputs, vector], { attrs: {}, name });
    return apply("reshape", [whole], { attrs: { shape }, name: node.name });
  },
};

const PRODUCT_OF_BATCHES: Rule = {
  name: "product-of-batches",
  law: "matmul(reshape(a; [B H, ..]), reshape(b; [B H, ..])) = reshape(matmul(a, b); [B H, ..])",
  rewrite: (node) => {
    const isFlat = (x: Node) => isOp(x, "reshape") && x.type.shape.length === 3;
    if (!isOp(node, "matmul") || !node.inputs.every(isFlat)) return null;
    // A batch of one goes with all others.
    if (node.inputs[0].type.shape[0] !== node.inputs[1].type.shape[0]) return null;
    const batch = node.inputs.map(batchOf).find((shape) => shape !== null);
    if (batch === undefined) return null;
    const [a, b] = node.inputs.map((flat) => {
      const shape = [...batch!, ...flat.type.shape.slice(-2)];
      return apply("reshape", [flat], { attrs: { shape }, name: flat.name });
    }) as [Node, Node];
    const product = apply("matmul", [a, b], { attrs: node.attrs, name: node.name });
    return apply("reshape", [product], { attrs: { shape: node.type.shape }, name: node.name });
  },
};

/** The axes that were made one in front of a matrix. */
function batchOf({ inputs: [x], type: { shape } }: Node): Shape | null {
  const from = x!.type.shape;
  const isFlattened = from.length === 4 && shape.length === 3 && sameShape(from.slice(-2), shape.slice(-2));
  return isFlattened ? from.slice(0, -2) : null;
}

export const HEADS: readonly Rule[] = [
  BIAS_OF_HEADS,
  PRODUCT_OF_BATCHES,
  SLICE_OF_TRANSPOSE,
  SLICE_OF_SPLIT_AXIS,
  FUNCTION_OF_ROWS,
  PRODUCT_OF_TRANSPOSE,
];
