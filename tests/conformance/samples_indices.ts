/** Samples of what makes indices and of what reads by several of them. */
import { apply } from "../../src/ops/table.ts";
import { add, cast, concat, mul, reshape, type Tensor } from "../nodes.ts";
import { indices, type Samples } from "./sample.ts";

const xBT4 = { x: { shape: ["B", "T", 4] } } as const;
const dims = { B: 3, T: 5 };
const ids = { x: { shape: ["B", "T"], dtype: "int64", below: 3 } } as const;

const range = (size: number | string) => apply("range", [], { attrs: { size } });
const size = (size: number | string) => apply("size", [], { attrs: { size } });
const argMax = (x: Tensor, axis: number, keepDims = false) =>
  apply("arg_max", [x], { attrs: { axis, keepDims } });
const gatherNd = (x: Tensor, at: Tensor) => apply("gather_nd", [x, at], { attrs: {} });

export const INDEX_SAMPLES = {
  range: [
    { name: "of tokens", inputs: ids, dims, build: ({ x }) => add(x!, range("T")) },
    { name: "of a size that is computed", inputs: ids, dims, build: () => range("2*B*T+1") },
    {
      name: "of a known size",
      inputs: { x: { shape: [2, 3] } },
      build: ({ x }, _p, dtype) => mul(x!, cast(range(3), dtype)),
    },
  ],
  size: [
    { name: "of tokens", inputs: ids, dims, build: ({ x }) => add(x!, size("T")) },
    { name: "that is computed", inputs: ids, dims, build: ({ x }) => mul(x!, size("2*B*T+1")) },
    { name: "that is known", inputs: ids, dims, build: ({ x }) => add(x!, size(5)) },
  ],
  arg_max: [
    { name: "of ids, the first of equal ones", inputs: ids, dims, build: ({ x }) => argMax(x!, -1) },
    { name: "of a middle axis, kept", inputs: xBT4, dims, build: ({ x }) => argMax(x!, 1, true) },
    { name: "of the first of three", inputs: { x: { shape: [2, 3, 4] } }, build: ({ x }) => argMax(x!, 0) },
  ],
  cumulative_sum: [
    {
      name: "of whole numbers, open tokens",
      inputs: ids,
      dims,
      build: ({ x }) => apply("cumulative_sum", [x!], { attrs: { axis: 1 } }),
    },
    {
      name: "of a middle axis",
      inputs: { x: { shape: [2, 3, 4] } },
      build: ({ x }) => apply("cumulative_sum", [x!], { attrs: { axis: -2 } }),
    },
  ],
  gather_elements: [
    {
      name: "along the last axis",
      inputs: { x: { shape: ["B", 4] }, at: { shape: ["B", "T"], dtype: "int64", below: 4 } },
      dims,
      build: ({ x, at }) => apply("gather_elements", [x!, at!], { attrs: { axis: -1 } }),
    },
    {
      name: "along a middle axis",
      inputs: { x: { shape: [2, 3, 2] } },
      build: ({ x }) =>
        apply("gather_elements", [x!, indices([2, 0, 1, 1, 0, 2, 2, 2], [2, 2, 2])], { attrs: { axis: 1 } }),
    },
  ],
  gather_nd: [
    {
      name: "a token of each example",
      inputs: { ...xBT4, at: { shape: ["B", 2], dtype: "int64", below: 3 } },
      dims,
      build: ({ x, at }) => gatherNd(x!, at!),
    },
    {
      name: "rows of a table",
      inputs: { x: { shape: [3, 4] } },
      build: ({ x }) => gatherNd(x!, reshape(indices([2, 0, 1, 1]), [2, 2, 1])),
    },
    {
      name: "a mask by index",
      inputs: {
        x: { shape: ["B", "T"], dtype: "bool", below: 2 },
        at: { shape: ["B", 1, 3, 2], dtype: "int64", below: 3 },
      },
      dims,
      build: ({ x, at }) => gatherNd(x!, at!),
    },
  ],
  scatter_nd: [
    {
      name: "tokens of some examples",
      inputs: { ...xBT4, z: { shape: [2, 4] } },
      dims,
      build: ({ x, z }) => apply("scatter_nd", [x!, indices([0, 2, 1, 0], [2, 2]), z!], { attrs: {} }),
    },
    {
      name: "single elements, at computed places",
      inputs: {
        x: { shape: [3, 4] },
        at: { shape: ["B", 1], dtype: "int64", below: 4 },
        z: { shape: ["B"] },
      },
      dims,
      build: ({ x, at, z }) => {
        const rows = reshape(apply("range", [], { attrs: { size: "B" } }), ["B", 1]);
        return apply("scatter_nd", [x!, concat([rows, at!], { axis: 1 }), z!], { attrs: {} });
      },
    },
  ],
  top_k: [
    {
      name: "of the last axis",
      inputs: { x: { shape: ["B", 6] } },
      dims,
      build: ({ x }) => apply("top_k", [x!], { attrs: { axis: -1, k: 3 } }),
    },
    {
      name: "of tokens, gathered",
      inputs: xBT4,
      dims,
      build: ({ x }) => {
        const places = apply("top_k", [x!], { attrs: { axis: 1, k: 2 } });
        return apply("gather_elements", [x!, places], { attrs: { axis: 1 } });
      },
    },
  ],
} satisfies Samples;
