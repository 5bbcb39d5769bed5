/**
 * Samples of the operators that only a graph lowered for ONNX Runtime has; its CPU provider computes them in
 * fp32.
 */
import { apply } from "../../src/ops/table.ts";
import type { Sample, Samples } from "./sample.ts";
import { whole } from "./samples_quantized.ts";

const dims = { B: 3, T: 5 };
const only = { notOnTensorRt: "is a form for ONNX Runtime", onlyIn: "fp32" } as const;
const tokens = { x: { shape: ["B", "T", 8] } } as const;
const plain = { heads: 2, scale: 0.5, causal: false } as const;

export const ONNXRUNTIME_SAMPLES = {
  bias_gelu: (["none", "tanh"] as const).map((approximate) => ({
    ...only,
    name: approximate,
    inputs: tokens,
    dims,
    build: ({ x }, p) => apply("bias_gelu", [x!, p([8])], { attrs: { approximate } }),
  })),
  quantized_linear: [
    {
      ...only,
      name: "with a bias",
      inputs: tokens,
      dims,
      build: ({ x }, p) =>
        apply("quantized_linear", [x!, whole([6, 8], "int8"), p([6]), p([6])], {
          attrs: { step: 0.03125, zero: 120 },
        }),
    },
    {
      ...only,
      name: "without one, beyond its range",
      inputs: { x: { shape: [4, 16] } },
      build: ({ x }, p) =>
        apply("quantized_linear", [x!, whole([3, 16], "int8"), p([3])], {
          attrs: { step: 2 ** -7, zero: 0 },
        }),
    },
  ],
  self_attention: [
    {
      ...only,
      name: "open batch and tokens",
      inputs: tokens,
      dims,
      build: ({ x }, p) =>
        apply("self_attention", [x!, p([24, 8]), p([24])], { attrs: { ...plain, bias: true } }),
    },
    {
      ...only,
      name: "causal, without a bias",
      inputs: tokens,
      dims,
      build: ({ x }, p) =>
        apply("self_attention", [x!, p([24, 8])], { attrs: { ...plain, causal: true, bias: false } }),
    },
    ...[["B", "T"], [2, "T"], [2, 5]].map((shape) => ({
      ...only,
      name: `causal, of heads of 8 channels, ${shape}`,
      inputs: { x: { shape: [...shape, 16] } },
      dims,
      build: ({ x }, p) =>
        apply("self_attention", [x!, p([48, 16]), p([48])], {
          attrs: { ...plain, causal: true, bias: true },
        }),
    } satisfies Sample)),
    {
      ...only,
      name: "with a position bias",
      inputs: { x: { shape: ["B", 5, 8] } },
      dims,
      build: ({ x }, p) =>
        apply("self_attention", [x!, p([24, 8]), p([1, 2, 5, 5])], { attrs: { ...plain, bias: false } }),
    },
    {
      ...only,
      name: "with a mask of each window",
      inputs: { x: { shape: [3, 5, 8] } },
      build: ({ x }, p) =>
        apply("self_attention", [x!, p([24, 8]), p([24]), p([3, 2, 5, 5])], {
          attrs: { ...plain, bias: true },
        }),
    },
  ],
  token_attention: [
    {
      ...only,
      name: "of other tokens",
      inputs: { q: { shape: ["B", 1, 8] }, k: { shape: ["B", "T", 8] }, v: { shape: ["B", "T", 8] } },
      dims,
      build: ({ q, k, v }) => apply("token_attention", [q!, k!, v!], { attrs: plain }),
    },
    {
      ...only,
      name: "causal",
      inputs: { q: { shape: ["B", "T", 8] }, k: { shape: ["B", "T", 8] }, v: { shape: ["B", "T", 8] } },
      dims,
      build: ({ q, k, v }) => apply("token_attention", [q!, k!, v!], { attrs: { ...plain, causal: true } }),
    },
    {
      ...only,
      name: "with a mask of every batch and head",
      inputs: { q: { shape: [2, 4, 8] }, k: { shape: [2, 5, 8] }, v: { shape: [2, 5, 8] } },
      build: ({ q, k, v }, p) => apply("token_attention", [q!, k!, v!, p([2, 2, 4, 5])], { attrs: plain }),
    },
    {
      ...only,
      name: "with a mask of all heads",
      inputs: { q: { shape: [2, 4, 8] }, k: { shape: [2, 5, 8] }, v: { shape: [2, 5, 8] } },
      build: ({ q, k, v }, p) => apply("token_attention", [q!, k!, v!, p([2, 1, 4, 5])], { attrs: plain }),
    },
  ],
} satisfies Samples;
