/** Samples of what reads images: convolutions, pools, padding and other sizes. */
import { apply, type AttrsOf } from "../../src/ops/table.ts";
import { mul } from "../nodes.ts";
import type { Sample, Samples } from "./sample.ts";

const dims = { B: 3, T: 5 };

const convolution =
  (attrs: AttrsOf<"conv">, kernel: readonly number[], { bias = true } = {}): Sample["build"] =>
  (
    { x },
    p,
  ) => {
    const inputs = bias ? [x!, p(kernel), p([kernel[0]!])] : [x!, p(kernel)];
    return apply("conv", inputs, { attrs });
  };

/** Windows that fill the image, windows that reach beyond it, and those of an image of open size. */
const pools = (op: "average_pool" | "max_pool"): readonly Sample[] => [
  {
    name: "of quarters",
    inputs: { x: { shape: ["B", 3, 4, 6] } },
    dims,
    build: ({ x }) => apply(op, [x!], { attrs: { kernel: [2, 2], stride: [2, 2], padding: [0, 0] } }),
  },
  {
    name: "with padding",
    inputs: { x: { shape: ["B", 2, 5, 4] } },
    dims,
    build: ({ x }) => apply(op, [x!], { attrs: { kernel: [3, 3], stride: [1, 1], padding: [1, 1] } }),
  },
  {
    name: "with padding behind alone, of open width",
    inputs: { x: { shape: ["B", 2, 5, "2*W"] } },
    dims: { B: 2, W: 3 },
    build: ({ x }) =>
      apply(op, [x!], {
        attrs: { kernel: [3, 2], stride: [2, 2], padding: [0, 0], paddingAfter: [2, 1] },
      }),
  },
];

const resized = (attrs: AttrsOf<"resize">): Sample["build"] => ({ x }) => apply("resize", [x!], { attrs });

export const IMAGE_SAMPLES = {
  conv: [
    {
      name: "patches",
      inputs: { x: { shape: ["B", 3, 8, 8] } },
      dims,
      build: convolution({ stride: [4, 4], padding: [0, 0] }, [6, 3, 4, 4]),
    },
    {
      name: "with padding",
      inputs: { x: { shape: ["B", 2, 5, 5] } },
      dims,
      build: convolution({ stride: [2, 2], padding: [1, 1] }, [3, 2, 3, 3]),
    },
    {
      name: "of unequal sides, without bias",
      inputs: { x: { shape: [2, 2, 6, 7] } },
      build: convolution({ stride: [2, 1], padding: [0, 1] }, [3, 2, 2, 3], { bias: false }),
    },
    {
      name: "in groups",
      inputs: { x: { shape: ["B", 4, 5, 5] } },
      dims,
      build: convolution({ stride: [1, 1], padding: [1, 1], groups: 2 }, [6, 2, 3, 3]),
    },
    {
      name: "of each channel by itself",
      inputs: { x: { shape: ["B", 3, 6, 5] } },
      dims,
      build: convolution({ stride: [1, 1], padding: [2, 2], groups: 3 }, [3, 1, 5, 5], { bias: false }),
    },
    {
      name: "of an image of open size",
      inputs: { x: { shape: ["B", 1, "2*H", "2*W"] }, z: { shape: [1, 1, "H", "W"] } },
      dims: { B: 3, H: 2, W: 3 },
      build: ({ x, z }, p, precision) =>
        mul(
          convolution({ stride: [2, 2], padding: [0, 0] }, [3, 1, 2, 2])({ x: x! }, p, precision) as never,
          z!,
        ),
    },
    {
      name: "with more padding behind than in front, dilated",
      inputs: { x: { shape: ["B", 2, 6, 7] } },
      dims,
      build: convolution(
        { stride: [2, 1], padding: [0, 1], paddingAfter: [1, 2], dilation: [2, 3] },
        [3, 2, 3, 2],
      ),
    },
    {
      name: "of an open size that stays, and one that is halved",
      inputs: { x: { shape: ["B", 2, "2*H", "W"] } },
      dims: { B: 2, H: 3, W: 5 },
      build: convolution({ stride: [2, 1], padding: [1, 2] }, [3, 2, 3, 5]),
    },
  ],
  average_pool: pools("average_pool"),
  max_pool: pools("max_pool"),
  pad: [
    {
      name: "zeros behind",
      inputs: { x: { shape: ["B", 5, 6, 3] } },
      dims,
      build: ({ x }) =>
        apply("pad", [x!], { attrs: { before: [0, 0, 0, 0], after: [0, 2, 1, 0], value: 0 } }),
    },
    {
      name: "a number on both sides of an open size",
      inputs: { x: { shape: ["B", "T", 4] } },
      dims,
      build: ({ x }) => apply("pad", [x!], { attrs: { before: [0, 1, 0], after: [0, 2, 1], value: -1.5 } }),
    },
    {
      name: "of whole numbers",
      inputs: { x: { shape: [2, 3], dtype: "int64", below: 9 } },
      build: ({ x }) => apply("pad", [x!], { attrs: { before: [1, 0], after: [0, 1], value: 7 } }),
    },
  ],
  resize: [
    {
      name: "nearest",
      inputs: { x: { shape: ["B", 2, 3, 4] } },
      dims,
      build: resized({ mode: "nearest", alignCorners: false, shape: ["B", 2, 6, 8] }),
    },
    {
      name: "linear, larger and smaller",
      inputs: { x: { shape: ["B", 2, 3, 8] } },
      dims,
      build: resized({ mode: "linear", alignCorners: false, shape: ["B", 2, 7, 4] }),
    },
    {
      name: "linear, corners aligned",
      inputs: { x: { shape: [1, 2, 3, 4] } },
      build: resized({ mode: "linear", alignCorners: true, shape: [1, 2, 5, 7] }),
    },
    {
      name: "linear, an open size doubled",
      inputs: { x: { shape: ["B", 2, "H", 4] } },
      dims: { B: 2, H: 3 },
      build: resized({ mode: "linear", alignCorners: false, shape: ["B", 2, "2*H", 8] }),
    },
    {
      name: "cubic",
      inputs: { x: { shape: ["B", 2, 4, 4] } },
      dims,
      build: resized({ mode: "cubic", alignCorners: false, shape: ["B", 2, 7, 6] }),
    },
  ],
} satisfies Samples;
