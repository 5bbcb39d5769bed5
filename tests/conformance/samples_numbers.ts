/** Samples of arithmetic on single numbers and of sums; the rest and the whole table are in `samples.ts`. */
import { apply } from "../../src/ops/table.ts";
import type { Sample, Samples } from "./sample.ts";
import {
  constant,
  div,
  exp,
  gelu,
  largest,
  maximum,
  mul,
  relu,
  silu,
  sqrt,
  sub,
  sum,
  tanh,
  type Tensor,
} from "../nodes.ts";

const x234 = { x: { shape: [2, 3, 4] } } as const;
const xBT4 = { x: { shape: ["B", "T", 4] } } as const;
const dims = { B: 3, T: 5 };

type Bare =
  | "sigmoid"
  | "hard_swish"
  | "softplus"
  | "mish"
  | "neg"
  | "abs"
  | "floor"
  | "sin"
  | "cos"
  | "erf"
  | "log";
const bare = (op: Bare, x: Tensor) => apply(op, [x], { attrs: {} });
const ofBothSigns = (op: Bare): readonly Sample[] => [
  { name: "of both signs", inputs: xBT4, dims, build: ({ x }) => bare(op, x!) },
];
/** Where they bend and where they saturate. */
const farOut = (op: Bare): readonly Sample[] => [
  ...ofBothSigns(op),
  {
    name: "far out",
    inputs: x234,
    build: ({ x }, _p, dtype) => bare(op, mul(x!, constant([6], { shape: [], dtype }))),
  },
];

export const NUMBER_SAMPLES = {
  sigmoid: farOut("sigmoid"),
  hard_swish: farOut("hard_swish"),
  softplus: farOut("softplus"),
  mish: farOut("mish"),
  neg: ofBothSigns("neg"),
  abs: ofBothSigns("abs"),
  floor: ofBothSigns("floor"),
  sin: ofBothSigns("sin"),
  cos: ofBothSigns("cos"),
  erf: farOut("erf"),
  log: [{ name: "of squares", inputs: xBT4, dims, build: ({ x }) => bare("log", mul(x!, x!)) }],
  hard_sigmoid: [
    {
      name: "PyTorch's",
      inputs: xBT4,
      dims,
      build: ({ x }) => apply("hard_sigmoid", [x!], { attrs: { alpha: 1 / 6, beta: 0.5 } }),
    },
    {
      name: "steep",
      inputs: x234,
      build: ({ x }) => apply("hard_sigmoid", [x!], { attrs: { alpha: 1.5, beta: 0.25 } }),
    },
  ],
  leaky_relu: [
    {
      name: "of both signs",
      inputs: xBT4,
      dims,
      build: ({ x }) => apply("leaky_relu", [x!], { attrs: { alpha: 0.2 } }),
    },
  ],
  elu: [
    {
      name: "of both signs",
      inputs: xBT4,
      dims,
      build: ({ x }) => apply("elu", [x!], { attrs: { alpha: 1.5 } }),
    },
  ],
  min: [
    {
      name: "with the most that is allowed",
      inputs: xBT4,
      dims,
      build: ({ x }, _p, dtype) => apply("min", [x!, constant([0.5], { shape: [], dtype })], { attrs: {} }),
    },
  ],
  pow: [
    {
      name: "a known exponent",
      inputs: xBT4,
      dims,
      build: ({ x }, _p, dtype) => apply("pow", [x!, constant([3], { shape: [], dtype })], { attrs: {} }),
    },
    {
      name: "a broken one for each channel",
      inputs: x234,
      build: ({ x }, _p, dtype) =>
        apply("pow", [exp(x!), constant([0.5, -1, 2, 1.5], { shape: [4], dtype })], { attrs: {} }),
    },
  ],
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
  reduce_max: [
    { name: "open tokens", inputs: xBT4, dims, build: ({ x }) => largest(x!, { axes: [1] }) },
    {
      name: "two axes apart, kept",
      inputs: x234,
      build: ({ x }) => largest(x!, { axes: [-1, 0], keepDims: true }),
    },
    {
      name: "of whole numbers",
      inputs: { x: { shape: ["B", 5], dtype: "int64", below: 9 } },
      dims,
      build: ({ x }) => largest(x!, { axes: [1] }),
    },
  ],
  reduce_sum: [
    {
      name: "of whole numbers",
      inputs: { x: { shape: ["B", 5], dtype: "int32", below: 9 } },
      dims,
      build: ({ x }) => sum(x!, { axes: [1] }),
    },
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
