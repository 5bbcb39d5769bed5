/** Mean over axes: pooling over tokens. */
import { reduction } from "./reduce.ts";
import { meanOf } from "./reference.ts";

export const reduceMean = reduction({
  name: "reduce_mean",
  doc: "the mean over `axes`, which stay with size 1 where `keepDims`",
  meaning: meanOf,
  tensorrt: "avg",
  onnx: "ReduceMean",
  of: "floats",
  does: { kind: "mean", breaks: () => "it averages over the channels themselves" },
});
