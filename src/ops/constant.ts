/**
 * A value known at compile time. Its `type` is what the network computes in; its data may be held in a wider
 * type and is rounded once, when a backend asks for the bytes.
 */
import { float64Of, type TensorData } from "../ir/data.ts";
import { type DType, isFloat } from "../ir/dtype.ts";
import { UnfoldError } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import { defineOp } from "./define.ts";

export type ConstantAttrs = { readonly data: TensorData; readonly dtype: DType };

export const constant = defineOp({
  name: "constant",
  doc: "a value known at compile time",
  operands: [],
  infer: (_, { data, dtype }: ConstantAttrs) => {
    if (isFloat(data.dtype) !== isFloat(dtype)) {
      throw new UnfoldError(`constant: ${data.origin} holds ${data.dtype} where ${dtype} is needed`);
    }
    return { dtype, shape: data.shape };
  },
  kind: "source",
  ahead: () => null,
  evaluate: (_, { data }) => ({ shape: data.shape, data: float64Of(data) }),
  tensorrt: (net, _, { data }, node) => net.constant(data, node.type),
  onnx: (g, _, { data }, node) => g.constant(data, node.type),
});

/** What values were made by, where that is told. */
const MADE = new WeakMap<TensorData, Node>();

/** Keeps the node over constants that data is the value of: how it is made of weights. */
export function madeOf(data: TensorData, node: Node): void {
  MADE.set(data, node);
}

/** The node that data is the value of; null where nobody said. */
export const madeBy = (data: TensorData): Node | null => MADE.get(data) ?? null;

/** The values behind a constant node. */
export function dataOf(constant: Node): TensorData {
  return (constant.attrs as ConstantAttrs).data;
}
