/** Samples of arithmetic on single numbers and of sums; the rest and the whole table are in `samples.ts`. */
import { apply } from "../../src/ops/table.ts";
import type { Samples } from "./sample.ts";
import { constant, div, exp, gelu, maximum, mul, relu, silu, sqrt, sub, sum, tanh } from "../nodes.ts";

const x234 = { x: { shape: [2, 3, 4] } } as const;
const xBT4 = { x: { shape: ["B", "T", 4] } } as const;
const dims = { B: 3, T: 5 };

export const NUMBER_SAMPLES = {
  mul: [
    { name: "of one shape", inputs: { ...x234, z: { shape: [2, 3, 4] } }, build: ({ x, z }) => mul(x!, z!) },
    { name: "with a scalar", inputs: x234, build: ({ x }, p) => mul(x!, p([])) },
    {
      name: "open sizes",
      inputs: { ...xBT4, z: { shape: ["B", 1, 4] } },
      dims,
      build: ({ x, z }) => mul(x!, z!),
    },
  ],
  relu: [{ name: "of both signs", inputs: x234, build: ({ x }) => relu(x!) }],
  silu: [{ name: "open sizes", inputs: xBT4, dims, build: ({ x }) => silu(x!) }],
  gelu: [
    { name: "exact", inputs: xBT4, dims, build: ({ x }) => gelu(x!) },
    { name: "tanh", inputs: x234, build: ({ x }) => gelu(x!, { approximate: "tanh" }) },
    {
      name: "far out",
      inputs: x234,
      build: ({ x }, _p, dtype) => gelu(mul(x!, constant([6], { shape: [], dtype }))),
    },
  ],
  div: [
    { name: "of one shape", inputs: { ...x234, z: { shape: [2, 3, 4] } }, build: ({ x, z }) => div(x!, z!) },
    {
      name: "by one number for each token",
      inputs: { ...xBT4, z: { shape: ["B", "T", 1] } },
      dims,
      build: ({ x, z }) => div(x!, z!),
    },
    { name: "of a vector", inputs: x234, build: ({ x }, p) => div(p([4]), x!) },
  ],
  dynamic_tanh: [
    {
      name: "open sizes",
      inputs: xBT4,
      dims,
      build: ({ x }) => apply("dynamic_tanh", [x!], { attrs: { alpha: 0.8 } }),
    },
    {
      name: "negative",
      inputs: x234,
      build: ({ x }) => apply("dynamic_tanh", [x!], { attrs: { alpha: -2 } }),
    },
  ],
  exp: [{ name: "of both signs", inputs: xBT4, dims, build: ({ x }) => exp(x!) }],
  max: [
    {
      name: "with the least that is allowed",
      inputs: xBT4,
      dims,
      build: ({ x }, _p, dtype) => maximum(x!, constant([1e-3], { shape: [], dtype })),
    },
    {
      name: "both repeated",
      inputs: { x: { shape: [2, 1, 4] }, z: { shape: [3, 1] } },
      build: ({ x, z }) => maximum(x!, z!),
    },
    {
      name: "of whole numbers",
      inputs: { x: { shape: ["B"], dtype: "int32", below: 9 } },
      dims,
      build: ({ x }) => maximum(x!, constant([4], { shape: [1], dtype: "int32" })),
    },
  ],
  reduce_sum: [
    { name: "open tokens", inputs: xBT4, dims, build: ({ x }) => sum(x!, { axes: [1] }) },
    {
      name: "of tokens under a mask",
      inputs: { ...xBT4, mask: { shape: ["B", "T", 1] } },
      dims,
      build: ({ x, mask }) => sum(mul(x!, mask!), { axes: [1], keepDims: true }),
    },
    {
      name: "two axes apart, kept",
      inputs: x234,
      build: ({ x }) => sum(x!, { axes: [-1, 0], keepDims: true }),
    },
    { name: "everything", inputs: x234, build: ({ x }) => sum(x!, { axes: [0, 1, 2] }) },
  ],
  sqrt: [{ name: "of squares", inputs: xBT4, dims, build: ({ x }) => sqrt(mul(x!, x!)) }],
  sub: [
    { name: "of one shape", inputs: { ...x234, z: { shape: [2, 3, 4] } }, build: ({ x, z }) => sub(x!, z!) },
    {
      name: "from one",
      inputs: xBT4,
      dims,
      build: ({ x }, _p, dtype) => sub(constant([1], { shape: [], dtype }), x!),
    },
    {
      name: "of whole numbers",
      inputs: { x: { shape: ["B"], dtype: "int64", below: 9 } },
      dims,
      build: ({ x }) => sub(x!, constant([4], { shape: [1], dtype: "int64" })),
    },
  ],
  tanh: [{ name: "of both signs", inputs: xBT4, dims, build: ({ x }) => tanh(x!) }],
} satisfies Samples;
