/** Sum over axes: weighted means over the tokens of a mask. */
import { reduction } from "./reduce.ts";
import { sumOf } from "./reference.ts";

export const reduceSum = reduction({
  name: "reduce_sum",
  doc: "the sum over `axes`, which stay with size 1 where `keepDims`",
  meaning: sumOf,
  tensorrt: "sum",
  onnx: "ReduceSum",
  of: "numbers",
  does: { kind: "other" },
});
