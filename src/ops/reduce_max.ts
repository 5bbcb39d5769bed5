/** The largest element over axes: pooled features, and what a logarithm of sums is taken relative to. */
import { reduction } from "./reduce.ts";

export const reduceMax = reduction({
  name: "reduce_max",
  doc: "the largest element over `axes`, which stay with size 1 where `keepDims`",
  meaning: (run) => run.reduce((most, value) => Math.max(most, value), -Infinity),
  tensorrt: "max",
  onnx: "ReduceMax",
  of: "numbers",
  does: { kind: "other" },
});
