/** Operators of ONNX Runtime's own, which its optimizer writes. */
import { pair, type Sample, wave, x234 } from "./sample.ts";

export const MICROSOFT: Readonly<Record<string, readonly Sample[]>> = {
  "com.microsoft.Attention": [
    { inputs: [["N", 5, 8]], constants: { 1: wave([8, 24]), 2: wave([24]) }, attributes: { num_heads: 2 } },
    {
      inputs: [["N", 5, 8], ["int32", "N", 5]],
      constants: { 1: wave([8, 24]), 2: wave([24]) },
      attributes: { num_heads: 2 },
    },
    {
      inputs: [["N", 5, 8], ["int32", "N"]],
      constants: { 1: wave([8, 24]), 2: wave([24]) },
      attributes: { num_heads: 2 },
    },
    {
      inputs: [["N", 3, 8], [2, "N", 2, "P", 4]],
      constants: { 1: wave([8, 24]), 2: wave([24]) },
      absent: [3],
      attributes: { num_heads: 2, unidirectional: 1 },
      outputs: 2,
    },
  ],
  "com.microsoft.EmbedLayerNormalization": [
    {
      inputs: [["int32", "N", 5], ["int32", "N", 5], ["int32", "N", 5]],
      constants: {
        2: wave([7, 4]),
        3: wave([6, 4]),
        4: wave([4, 4]),
        5: wave([4]),
        6: wave([4]),
      },
      outputs: 2,
      gives: ["fp32", "int32"],
    },
  ],
  "com.microsoft.BiasGelu": [{ ...x234, constants: { 1: wave([4]) } }],
  "com.microsoft.FastGelu": [{ ...x234, constants: { 1: wave([4]) } }],
  "com.microsoft.FusedConv": [
    {
      inputs: [["N", 4, 6, 8]],
      constants: { 1: wave([3, 4, 3, 3]), 2: wave([3]) },
      attributes: { activation: "Relu", pads: [1, 1, 1, 1] },
    },
  ],
  "com.microsoft.FusedGemm": [
    {
      inputs: [["N", 4]],
      constants: { 1: wave([3, 4]), 2: wave([3]) },
      attributes: { transB: 1, activation: "Tanh" },
    },
  ],
  "com.microsoft.FusedMatMul": [{
    inputs: [["N", 3, 4], ["N", 5, 4]],
    attributes: { transB: 1, alpha: { float: 0.5 } },
  }],
  "com.microsoft.Gelu": [x234],
  "com.microsoft.MultiHeadAttention": [{
    inputs: [["N", 5, 8], ["N", 6, 8], ["N", 6, 8]],
    constants: { 3: wave([24]) },
    attributes: { num_heads: 2 },
  }, {
    inputs: [["N", 5, 8], ["N", 5, 8], ["N", 5, 8], ["N", 2, "P", 4], ["N", 2, "P", 4]],
    absent: [3, 4, 5],
    attributes: { num_heads: 2, unidirectional: 1 },
    outputs: 3,
  }],
  "com.microsoft.QuickGelu": [x234],
  "com.microsoft.RotaryEmbedding": [{
    inputs: [["N", 2, 5, 6], ["int64", "N", 5]],
    constants: { 2: wave([5, 3]), 3: wave([5, 3]) },
  }, {
    inputs: [["N", 2, 5, 6]],
    constants: { 1: { shape: [1], type: "int64", values: [2] }, 2: wave([8, 3]), 3: wave([8, 3]) },
  }],
  "com.microsoft.SkipLayerNormalization": [
    { ...pair, constants: { 2: wave([4]), 3: wave([4]), 4: wave([4]) } },
  ],
  "com.microsoft.SkipSimplifiedLayerNormalization": [{ ...pair, constants: { 2: wave([4]) } }],
};
