/**
 * What an operator may ask of a network that is being written: the emitters' side of the contract, as
 * interfaces, so that operators depend on neither protobuf nor foreign memory.
 */
import type { TensorData } from "../ir/data.ts";
import type { DType } from "../ir/dtype.ts";
import type { TensorType } from "../ir/graph.ts";
import type { Dim, Shape } from "../ir/shape.ts";
import type { Pair, WindowAttrs } from "./image/window.ts";

/** A TensorRT tensor under construction; its `dims` have -1 where they are open. */
export interface TensorRtTensor {
  readonly dims: readonly number[];
}

type Axes = readonly number[];

/** Of two tensors that broadcast; truth values have the last two, and the comparisons make them. */
export type TensorRtElementwise =
  | "sum"
  | "sub"
  | "prod"
  | "div"
  | "max"
  | "min"
  | "pow"
  | "equal"
  | "less"
  | "greater"
  | "and"
  | "or";

/** Activations that are told numbers. */
interface ParametricActivation {
  readonly kind: "leaky_relu" | "elu" | "softplus" | "hard_sigmoid";
  readonly alpha: number;
  readonly beta?: number;
}

/** What an operator may ask of a network being built. Each call adds a layer named after its node. */
export interface TensorRtEmitter<T extends TensorRtTensor = TensorRtTensor> {
  constant(data: TensorData, type: TensorType): T;
  matmul(a: T, b: T, options?: { transposeA?: boolean; transposeB?: boolean }): T;
  elementwise(op: TensorRtElementwise, a: T, b: T): T;
  activation(
    kind: "relu" | "sigmoid" | "tanh" | "gelu_erf" | "gelu_tanh" | ParametricActivation,
    x: T,
  ): T;
  unary(
    op: "sqrt" | "exp" | "log" | "neg" | "abs" | "floor" | "sin" | "cos" | "erf" | "not" | "isnan",
    x: T,
  ): T;
  /** `a` where the condition holds, else `b`. */
  select(condition: T, a: T, b: T): T;
  softmax(x: T, axis: number): T;
  transpose(x: T, permutation: Axes): T;
  /** Reshape between two symbolic shapes with the same number of elements. */
  reshape(x: T, from: Shape, to: Shape): T;
  slice(x: T, options: { start: Axes; size: Shape; stride: Axes }): T;
  expand(x: T, from: Shape, to: Shape): T;
  concat(xs: readonly T[], axis: number): T;
  gather(x: T, indices: T, axis: number): T;
  gatherElements(x: T, indices: T, axis: number): T;
  gatherNd(x: T, indices: T): T;
  scatterNd(x: T, indices: T, updates: T): T;
  /** Where the k largest are along an axis, int64. */
  topK(x: T, k: number, axis: number): T;
  /** Whole numbers from 0 on, int64. */
  range(size: Dim): T;
  /** One whole number, int64. */
  size(size: Dim): T;
  cumulativeSum(x: T, axis: number): T;
  reduce(op: "sum" | "avg" | "max" | "min", x: T, axes: Axes, keepDims: boolean): T;
  normalization(x: T, scale: T, shift: T, options: { axes: Axes; epsilon: number }): T;
  /** softmax(q kᵀ) v of as many queries as keys, each with those up to its own. */
  causalAttention(q: T, k: T, v: T): T;
  convolution(x: T, options: WindowAttrs & { weight: T; bias?: T; groups: number }): T;
  /** Of the elements inside the image. */
  pool(kind: "average" | "max", x: T, options: WindowAttrs & { kernel: Pair }): T;
  /** `shape` is the result's; `nearest` is from above and left. */
  resize(
    x: T,
    options: { mode: "nearest" | "linear" | "cubic"; alignCorners: boolean; cubic: number; shape: Shape },
  ): T;
  /** `type` is the result's. */
  pad(x: T, options: { before: Axes; type: TensorType; value: number }): T;
  cast(x: T, dtype: DType): T;
  quantize(x: T, scale: T, to: "int8" | "fp8"): T;
  /** `axis`: the one that a scale [C] is of. */
  dequantize(q: T, scale: T, axis: number | undefined): T;
  /** Blocks of 16 along the last axis in fp4, with scales found at run time in steps of `unit`, and back. */
  throughFp4(x: T, unit: T): T;
  /** `value` as a constant of `rank` dimensions of size 1, for broadcasting. */
  scalar(value: number, dtype: DType, rank: number): T;
}

/** A plain number is an integer attribute. */
export type OnnxAttribute = number | string | readonly number[] | { readonly float: number };

/** What an operator may ask of the ONNX graph being written; values are their names. */
export interface OnnxEmitter {
  /** The version of the standard's operators that is written. */
  readonly opset: number;
  /**
   * `type` is an operator of the standard or, with its domain in front, another: `com.microsoft.Attention`;
   * an undefined input is one left out. The result is the output of that number, the first unless said.
   */
  node(
    type: string,
    inputs: readonly (string | undefined)[],
    attributes?: Readonly<Record<string, OnnxAttribute>>,
    output?: number,
  ): string;
  /** A small int64 vector, e.g. axes. */
  int64(values: readonly number[]): string;
  int64Scalar(value: number): string;
  /** A shape as an int64 vector, computed from the inputs' sizes where it is open. */
  shape(shape: Shape): string;
  /** A scalar (rank 0) of an element type. */
  scalar(value: number, dtype: DType): string;
  constant(data: TensorData, type: TensorType): string;
  reshape(x: string, from: Shape, to: Shape): string;
  reduce(
    type: "ReduceMean" | "ReduceSum" | "ReduceMax",
    x: string,
    axes: readonly number[],
    keepDims: boolean,
  ): string;
  cast(x: string, dtype: DType): string;
  quantize(x: string, scale: string, how: { from: DType; to: DType; zero: number }): string;
  /** `axis`: the one that a scale [C] is of, or along which neighbours of a `block` share one. */
  dequantize(
    q: string,
    scale: string,
    how: { from: DType; to: DType; zero: number; axis?: number; block?: number },
  ): string;
}
