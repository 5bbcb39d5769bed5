/** A size that may be open as a number that is computed with: positions in what was several axes. */
import { isDim } from "../../ir/shape.ts";
import { defineOp } from "../define.ts";
import { Misfit } from "../operands.ts";
import type { RangeAttrs } from "./range.ts";

export const size = defineOp({
  name: "size",
  doc: "[size], int64",
  operands: [],
  infer: (_, { size }: RangeAttrs) => {
    if (!isDim(size)) throw new Misfit(`${size} is not a size, such as 7, "T" or "T+1"`);
    return { dtype: "int64", shape: [1] };
  },
  kind: "other",
  ahead: () => null,
  // The reference has bound the size.
  evaluate: (_, { size }) => ({ shape: [1], data: Float64Array.of(size as number) }),
  tensorrt: (net, _, { size }) => net.size(size),
  onnx: (g, _, { size }) => g.shape([size]),
});
