/** Positions: whole numbers from 0 on, as many as a size that may be open. */
import { type Dim, isDim } from "../../ir/shape.ts";
import { defineOp } from "../define.ts";
import { Misfit } from "../operands.ts";

export type RangeAttrs = { readonly size: Dim };

export const range = defineOp({
  name: "range",
  doc: "0, 1, ..., size - 1, int64",
  operands: [],
  infer: (_, { size }: RangeAttrs) => {
    if (!isDim(size)) throw new Misfit(`${size} is not a size, such as 7, "T" or "T+1"`);
    return { dtype: "int64", shape: [size] };
  },
  kind: "other",
  ahead: () => null,
  // The reference has bound the size.
  evaluate: (_, { size }) => ({
    shape: [size as number],
    data: Float64Array.from({ length: size as number }, (_, i) => i),
  }),
  tensorrt: (net, _, { size }) => net.range(size),
  onnx: (g, _, { size }) =>
    g.node("Range", [g.int64Scalar(0), g.node("Squeeze", [g.shape([size])]), g.int64Scalar(1)]),
});
