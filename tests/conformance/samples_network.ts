/**
 * Samples of the operators with weights, and of attention; the rest and the whole table are in `samples.ts`.
 */
import { apply } from "../../src/ops/table.ts";
import type { Samples } from "./sample.ts";
import { matmul, reshape, scaledDotProductAttention, transpose } from "../nodes.ts";

const dims = { B: 3, T: 5, S: 4 };
const tokens = { x: { shape: ["B", "T", 8] } } as const;
const heads = {
  q: { shape: ["B", 2, "T", 4] },
  k: { shape: ["B", 2, "T", 4] },
  v: { shape: ["B", 2, "T", 4] },
} as const;
const fixedHeads = {
  q: { shape: [2, 3, 5, 4] },
  k: { shape: [2, 3, 5, 4] },
  v: { shape: [2, 3, 5, 4] },
} as const;

export const NETWORK_SAMPLES = {
  attention: [
    {
      name: "self",
      inputs: fixedHeads,
      build: ({ q, k, v }) => scaledDotProductAttention({ q: q!, k: k!, v: v! }),
    },
    {
      name: "open batch and tokens",
      inputs: heads,
      dims,
      build: ({ q, k, v }) => scaledDotProductAttention({ q: q!, k: k!, v: v! }),
    },
    {
      name: "causal",
      inputs: fixedHeads,
      build: ({ q, k, v }) => scaledDotProductAttention({ q: q!, k: k!, v: v! }, { causal: true }),
    },
    {
      name: "causal, open batch and tokens",
      inputs: heads,
      dims,
      build: ({ q, k, v }) => scaledDotProductAttention({ q: q!, k: k!, v: v! }, { causal: true, scale: 1 }),
    },
    {
      name: "across, with a value size of its own",
      inputs: {
        q: { shape: ["B", 2, "T", 4] },
        k: { shape: ["B", 2, "S", 4] },
        v: { shape: ["B", 2, "S", 6] },
      },
      dims,
      build: ({ q, k, v }) => scaledDotProductAttention({ q: q!, k: k!, v: v! }, { scale: 0.25 }),
    },
    {
      name: "with a position bias",
      inputs: fixedHeads,
      build: ({ q, k, v }, p) => scaledDotProductAttention({ q: q!, k: k!, v: v!, mask: p([3, 5, 5]) }),
    },
    {
      name: "causal, with a position bias",
      inputs: fixedHeads,
      build: ({ q, k, v }, p) =>
        scaledDotProductAttention({ q: q!, k: k!, v: v!, mask: p([3, 5, 5]) }, { causal: true }),
    },
    {
      name: "causal, with a bias of each head, open batch and tokens",
      inputs: heads,
      dims,
      notOnTensorRt:
        "TensorRT takes a mask beside a causal one only where the number of tokens is fixed, not T",
      build: ({ q, k, v }, p) =>
        scaledDotProductAttention({ q: q!, k: k!, v: v!, mask: p([2, 1, 1]) }, { causal: true }),
    },
    {
      name: "causal, the last queries of more keys",
      inputs: { ...fixedHeads, q: { shape: [2, 3, 2, 4] } },
      build: ({ q, k, v }) => scaledDotProductAttention({ q: q!, k: k!, v: v! }, { causal: true }),
    },
    {
      name: "causal, the last queries of more keys, with a position bias",
      inputs: { ...fixedHeads, q: { shape: [2, 3, 2, 4] } },
      build: ({ q, k, v }, p) =>
        scaledDotProductAttention({ q: q!, k: k!, v: v!, mask: p([3, 2, 5]) }, { causal: true }),
    },
    {
      name: "causal, one query over an open number of keys",
      inputs: {
        q: { shape: ["B", 2, 1, 4] },
        k: { shape: ["B", 2, "S", 4] },
        v: { shape: ["B", 2, "S", 4] },
      },
      dims,
      build: ({ q, k, v }) => scaledDotProductAttention({ q: q!, k: k!, v: v! }, { causal: true }),
    },
    {
      name: "with a mask of each example",
      inputs: { ...heads, mask: { shape: ["B", 1, 1, "T"] } },
      dims,
      build: ({ q, k, v, mask }) => scaledDotProductAttention({ q: q!, k: k!, v: v!, mask: mask! }),
    },
    {
      name: "windows of several images, with a mask of each window of one",
      inputs: { x: { shape: ["B", 2, 3, 5, 4] } },
      dims,
      build: ({ x }, p) => {
        const windows = reshape(x!, [-1, 3, 5, 4]);
        return scaledDotProductAttention({ q: windows, k: windows, v: windows, mask: p([2, 3, 5, 5]) });
      },
    },
  ],
  channel_affine: [
    {
      name: "last axis",
      inputs: tokens,
      dims,
      build: ({ x }, p) =>
        apply("channel_affine", [x!, p([8]), p([8])], { attrs: { axis: -1, norm: Symbol(), family: "un" } }),
    },
    {
      name: "colours of an image",
      inputs: { x: { shape: ["B", 3, 4, 4] } },
      dims,
      build: ({ x }, p) =>
        apply("channel_affine", [x!, p([3]), p([3])], { attrs: { axis: 1, norm: Symbol(), family: "bn" } }),
    },
    {
      name: "computed scale and shift",
      inputs: { x: { shape: [2, 3, 4] }, s: { shape: [3] }, t: { shape: [3] } },
      build: ({ x, s, t }) =>
        apply("channel_affine", [x!, s!, t!], { attrs: { axis: -2, norm: Symbol(), family: "un" } }),
    },
  ],
  linear: [
    {
      name: "of rows",
      inputs: { x: { shape: ["B", 8] } },
      dims,
      build: ({ x }, p) => apply("linear", [x!, p([5, 8]), p([5])], { attrs: {} }),
    },
    {
      name: "of rows, without bias",
      inputs: { x: { shape: [3, 8] } },
      build: ({ x }, p) => apply("linear", [x!, p([5, 8])], { attrs: {} }),
    },
    {
      name: "of tokens",
      inputs: tokens,
      dims,
      build: ({ x }, p) => apply("linear", [x!, p([5, 8]), p([5])], { attrs: {} }),
    },
    {
      name: "of windows, without bias",
      inputs: { x: { shape: ["B", 2, 3, 8] } },
      dims,
      build: ({ x }, p) => apply("linear", [x!, p([5, 8])], { attrs: {} }),
    },
    {
      name: "of a single vector",
      inputs: { x: { shape: [8] } },
      build: ({ x }, p) => apply("linear", [x!, p([5, 8]), p([5])], { attrs: {} }),
    },
    {
      name: "with a weight that is fed",
      inputs: { x: { shape: ["B", "T", 8] }, w: { shape: [5, 8] } },
      dims,
      build: ({ x, w }) => apply("linear", [x!, w!], { attrs: {} }),
    },
    {
      name: "after another that shares its weight",
      inputs: tokens,
      dims,
      build: ({ x }, p) => {
        const weight = p([8, 8]);
        return apply("linear", [apply("linear", [x!, weight], { attrs: {} }), weight], { attrs: {} });
      },
    },
  ],
  matmul: [
    {
      name: "plain",
      inputs: { a: { shape: ["B", 3, 4] }, b: { shape: ["B", 4, 5] } },
      dims,
      build: ({ a, b }) => matmul(a!, b!),
    },
    {
      name: "left transposed",
      inputs: { a: { shape: [2, 4, 3] }, b: { shape: [2, 4, 5] } },
      build: ({ a, b }) => matmul(a!, b!, { transposeA: true }),
    },
    {
      name: "right transposed, open tokens",
      inputs: { a: { shape: ["B", 2, "T", 4] }, b: { shape: ["B", 2, "T", 4] } },
      dims,
      build: ({ a, b }) => matmul(a!, b!, { transposeB: true }),
    },
    {
      name: "both transposed, batches repeated",
      inputs: { a: { shape: [2, 1, 4, 3] }, b: { shape: [3, 5, 4] } },
      build: ({ a, b }) => matmul(a!, b!, { transposeA: true, transposeB: true }),
    },
    {
      name: "with a constant on the left",
      inputs: { x: { shape: ["B", 4, 3] } },
      dims,
      build: ({ x }, p) => transpose(matmul(p([2, 4]), x!), [0, 2, 1]),
    },
  ],
} satisfies Samples;
