/**
 * Samples of the operators that move or combine elements; `samples_network.ts` has those with weights,
 * `samples_image.ts` images, `samples_norms.ts` those with statistics, `samples_numbers.ts` arithmetic,
 * `samples_logic.ts` truth values, `samples_indices.ts` indices, `samples_onnxruntime.ts` those of one
 * backend. The table is typed by the operators' names: an operator without a row does not compile.
 */
import { multiplyDims } from "../../src/ir/shape.ts";
import type { OpName } from "../../src/ops/table.ts";
import { indices, type Sample } from "./sample.ts";
import { IMAGE_SAMPLES } from "./samples_image.ts";
import { INDEX_SAMPLES } from "./samples_indices.ts";
import { LOGIC_SAMPLES } from "./samples_logic.ts";
import { NETWORK_SAMPLES } from "./samples_network.ts";
import { NORM_SAMPLES } from "./samples_norms.ts";
import { NUMBER_SAMPLES } from "./samples_numbers.ts";
import { ONNXRUNTIME_SAMPLES } from "./samples_onnxruntime.ts";
import { QUANTIZED_SAMPLES } from "./samples_quantized.ts";
import {
  add,
  cast,
  concat,
  expand,
  gather,
  mean,
  mul,
  relu,
  reshape,
  slice,
  softmax,
  transpose,
} from "../nodes.ts";

const x234 = { x: { shape: [2, 3, 4] } } as const;
const xBT4 = { x: { shape: ["B", "T", 4] } } as const;
const dims = { B: 3, T: 5 };

export const SAMPLES: Readonly<Record<OpName, readonly Sample[]>> = {
  ...IMAGE_SAMPLES,
  ...INDEX_SAMPLES,
  ...LOGIC_SAMPLES,
  ...NETWORK_SAMPLES,
  ...NORM_SAMPLES,
  ...NUMBER_SAMPLES,
  ...ONNXRUNTIME_SAMPLES,
  ...QUANTIZED_SAMPLES,
  add: [
    { name: "of one shape", inputs: { ...x234, z: { shape: [2, 3, 4] } }, build: ({ x, z }) => add(x!, z!) },
    { name: "with a vector", inputs: x234, build: ({ x }, p) => add(x!, p([4])) },
    { name: "with a vector on the left", inputs: x234, build: ({ x }, p) => add(p([4]), x!) },
    {
      name: "both repeated",
      inputs: { x: { shape: [2, 1, 4] }, z: { shape: [3, 1] } },
      build: ({ x, z }) => add(x!, z!),
    },
    {
      name: "with positions, open batch",
      inputs: { x: { shape: ["B", 3, 4] } },
      dims,
      build: ({ x }, p) => add(x!, p([1, 3, 4])),
    },
    { name: "of itself", inputs: xBT4, dims, build: ({ x }) => add(x!, x!) },
  ],
  softmax: [
    { name: "last axis", inputs: xBT4, dims, build: ({ x }) => softmax(x!) },
    { name: "middle axis", inputs: x234, build: ({ x }) => softmax(x!, { axis: 1 }) },
    { name: "first axis, from the end", inputs: x234, build: ({ x }) => softmax(x!, { axis: -3 }) },
  ],
  cast: [
    {
      name: "whole numbers to float",
      inputs: { x: { shape: ["B", 3], dtype: "int64", below: 9 } },
      dims,
      build: ({ x }) => cast(x!, "fp32"),
    },
    {
      name: "through fp16",
      inputs: { x: { shape: [2, 3], dtype: "int32", below: 2048 } },
      build: ({ x }) => cast(cast(x!, "fp16"), "fp32"),
    },
    { name: "toward zero", inputs: x234, build: ({ x }) => cast(x!, "int32") },
    { name: "to int64", inputs: x234, build: ({ x }) => cast(x!, "int64") },
    {
      name: "through bool",
      inputs: { x: { shape: [7], dtype: "int32", below: 2 } },
      build: ({ x }) => cast(cast(x!, "bool"), "fp32"),
    },
  ],
  input: [
    { name: "as an output", inputs: x234, build: ({ x }) => x! },
    {
      name: "put out twice",
      inputs: xBT4,
      dims,
      build: ({ x }) => ({ first: x!, second: x!, third: relu(x!) }),
    },
    {
      name: "unused beside another",
      inputs: { ...x234, z: { shape: ["B"] } },
      dims,
      build: ({ x }) => relu(x!),
    },
  ],
  constant: [
    { name: "as an output", inputs: x234, build: ({ x }, p) => ({ y: relu(x!), table: p([2, 3]) }) },
    {
      name: "read twice in other ranks",
      inputs: x234,
      build: ({ x }, p) => {
        const vector = p([4]);
        return add(mul(x!, vector), reshape(concat([vector, vector], { axis: 0 }), [2, 1, 4]));
      },
    },
  ],
  concat: [
    {
      name: "last axis",
      inputs: { ...x234, z: { shape: [2, 3, 1] } },
      build: ({ x, z }) => concat([x!, z!, x!], { axis: -1 }),
    },
    { name: "of one", inputs: x234, build: ({ x }) => concat([x!], { axis: 0 }) },
    {
      name: "a token before open ones",
      inputs: xBT4,
      dims,
      build: ({ x }, p) => concat([expand(p([1, 1, 4]), ["B", 1, 4]), x!], { axis: 1 }),
    },
    {
      name: "of open sizes",
      inputs: { ...xBT4, z: { shape: ["B", "S", 4] } },
      dims: { ...dims, S: 2 },
      build: ({ x, z }) => concat([x!, z!], { axis: 1 }),
    },
  ],
  expand: [
    { name: "fixed", inputs: { x: { shape: [2, 1, 4] } }, build: ({ x }) => expand(x!, [2, 3, 4]) },
    {
      name: "a constant to an open batch",
      inputs: xBT4,
      dims,
      build: ({ x }, p) => add(x!, expand(p([1, 1, 4]), ["B", 1, 4])),
    },
    {
      name: "to two open sizes",
      inputs: { ...xBT4, z: { shape: ["B", 1, 4] } },
      dims,
      build: ({ x, z }, p) => ({
        value: add(expand(z!, ["B", "T", 4]), x!),
        token: expand(p([1, 1, 4]), ["B", "T", 4]),
      }),
    },
    {
      name: "to a computed size",
      inputs: xBT4,
      dims,
      build: ({ x }, p) => ({
        y: x!,
        token: expand(p([1, 4]), [multiplyDims("B", multiplyDims(2, "T")), 4]),
      }),
    },
    { name: "nothing", inputs: x234, build: ({ x }) => expand(x!, [2, 3, 4]) },
  ],
  gather: [
    {
      name: "rows by int64 ids",
      inputs: { ids: { shape: ["B", "T"], dtype: "int64", below: 7 } },
      dims,
      build: ({ ids }, p) => gather(p([7, 4]), ids!),
    },
    {
      name: "rows by int32 ids",
      inputs: { ids: { shape: [5], dtype: "int32", below: 7 } },
      build: ({ ids }, p) => gather(p([7, 4]), ids!),
    },
    {
      name: "a permutation of tokens",
      inputs: { x: { shape: ["B", 3, 4] } },
      dims,
      build: ({ x }) => gather(x!, indices([2, 0, 1]), { axis: 1 }),
    },
    {
      name: "last axis, repeated",
      inputs: x234,
      build: ({ x }) => gather(x!, indices([3, 3, 0]), { axis: -1 }),
    },
    {
      name: "a table in the middle",
      inputs: x234,
      build: ({ x }) => gather(x!, indices([2, 0, 1, 1], [2, 2]), { axis: 1 }),
    },
  ],
  reduce_mean: [
    {
      name: "tokens",
      inputs: { x: { shape: ["B", 3, 4] } },
      dims,
      build: ({ x }) => mean(x!, { axes: [1] }),
    },
    { name: "kept", inputs: x234, build: ({ x }) => mean(x!, { axes: [-1], keepDims: true }) },
    {
      name: "two axes",
      inputs: { x: { shape: [2, 3, 4, 5] } },
      build: ({ x }) => mean(x!, { axes: [2, 3] }),
    },
    {
      name: "two axes apart, kept",
      inputs: x234,
      build: ({ x }) => mean(x!, { axes: [-1, 0], keepDims: true }),
    },
    { name: "over an open size", inputs: xBT4, dims, build: ({ x }) => mean(x!, { axes: [1] }) },
    { name: "everything", inputs: x234, build: ({ x }) => mean(x!, { axes: [0, 1, 2] }) },
  ],
  reshape: [
    {
      name: "heads apart",
      inputs: { x: { shape: ["B", 3, 8] } },
      dims,
      build: ({ x }) => reshape(x!, ["B", 3, 2, 4]),
    },
    {
      name: "heads together",
      inputs: { x: { shape: ["B", 3, 2, 4] } },
      dims,
      build: ({ x }) => reshape(x!, ["B", 3, -1]),
    },
    { name: "across axes", inputs: x234, build: ({ x }) => reshape(x!, [4, 3, 2]) },
    { name: "two open sizes flat", inputs: xBT4, dims, build: ({ x }) => reshape(x!, ["B*T", 4]) },
    {
      name: "two open sizes apart again",
      inputs: xBT4,
      dims,
      build: ({ x }) => reshape(relu(reshape(x!, ["B*T", 4])), ["B", "T", 2, 2]),
    },
    {
      name: "two open sizes that change places",
      inputs: xBT4,
      dims,
      build: ({ x }) => reshape(x!, [2, "T", "B", 2]),
    },
    {
      name: "a size with a constant term",
      inputs: xBT4,
      dims,
      build: ({ x }, p) =>
        reshape(concat([expand(p([1, 1, 4]), ["B", 1, 4]), x!], { axis: 1 }), ["T+1", "B", 2, 2]),
    },
    { name: "to a scalar", inputs: { x: { shape: [1, 1] } }, build: ({ x }) => reshape(x!, []) },
    { name: "of a constant", inputs: x234, build: ({ x }, p) => add(x!, reshape(p([12]), [3, 4])) },
  ],
  slice: [
    { name: "from the middle", inputs: x234, build: ({ x }) => slice(x!, { axis: 2, start: 1, end: 3 }) },
    {
      name: "with a step",
      inputs: { x: { shape: [2, 9] } },
      build: ({ x }) => slice(x!, { axis: 1, start: 1, step: 3 }),
    },
    {
      name: "with a step that ends short",
      inputs: { x: { shape: [2, 9] } },
      build: ({ x }) => slice(x!, { axis: -1, end: 8, step: 3 }),
    },
    { name: "the class token", inputs: xBT4, dims, build: ({ x }) => slice(x!, { axis: 1, end: 1 }) },
    {
      name: "a third of q, k and v",
      inputs: { x: { shape: ["B", "T", 12] } },
      dims,
      build: ({ x }) => slice(x!, { axis: -1, start: 4, end: 8 }),
    },
    {
      name: "as many positions as there are tokens",
      inputs: xBT4,
      dims,
      build: ({ x }, p) => add(x!, slice(p([9, 4]), { axis: 0, size: "T" })),
    },
    {
      name: "a computed number of positions, from the third on",
      inputs: xBT4,
      dims,
      build: ({ x }, p) => ({
        table: slice(p([9, 4]), { axis: 0, start: 2, size: "T+1" }),
        all: add(x!, slice(x!, { axis: 1, size: "T" })),
      }),
    },
    {
      name: "steps over an open axis",
      inputs: xBT4,
      dims,
      build: ({ x }) => slice(x!, { axis: 1, start: 0, end: 4, step: 2 }),
    },
  ],
  transpose: [
    {
      name: "of two axes",
      inputs: { x: { shape: ["B", 4] } },
      dims,
      build: ({ x }) => transpose(x!, [1, 0]),
    },
    { name: "in a circle", inputs: x234, build: ({ x }) => transpose(x!, [2, 0, 1]) },
    {
      name: "heads",
      inputs: { x: { shape: ["B", "T", 2, 4] } },
      dims,
      build: ({ x }) => transpose(x!, [0, 2, 1, 3]),
    },
    { name: "nothing", inputs: x234, build: ({ x }) => transpose(x!, [0, 1, 2]) },
  ],
};
