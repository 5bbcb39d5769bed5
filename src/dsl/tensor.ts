/**
 * Operators as functions over symbolic tensors. Each takes tensors and options, checks shapes at once and returns the
 * new tensor; nothing is computed. What needs parameters is in `layers.ts`.
 */
import { UnfoldError } from "../errors.ts";
import { bytesFromNumbers, elementCount, heldData } from "../ir/data.ts";
import { type DType, isFloat, ITEM_BYTES } from "../ir/dtype.ts";
import {
  argument,
  COUNT,
  DIM,
  FIXED_SHAPE,
  FLAG,
  given,
  INDEX,
  type Kind,
  listOf,
  NUMBER,
  oneOf,
  optional,
  SHAPE,
  TEXT,
} from "../ir/given.ts";
import type { Node } from "../ir/graph.ts";
import { axisIn, type Dim, divideDims, type Shape, showShape, sizeOf } from "../ir/shape.ts";
import { constantNode } from "../ops/table.ts";
import { op, TENSOR } from "./given.ts";

/** A symbolic tensor: its element type and shape are `type.dtype` and `type.shape`. */
export type Tensor = Node;

/** `a + b`, broadcast. */
export const add = (a: Tensor, b: Tensor): Tensor => op("add", [a, b], { attrs: {} });

/** `a * b`, broadcast. */
export const mul = (a: Tensor, b: Tensor): Tensor => op("mul", [a, b], { attrs: {} });

/** `a - b`, broadcast. */
export const sub = (a: Tensor, b: Tensor): Tensor => op("sub", [a, b], { attrs: {} });

/** `a / b`, broadcast; of floating-point numbers. */
export const div = (a: Tensor, b: Tensor): Tensor => op("div", [a, b], { attrs: {} });

/** The larger of `a` and `b`, broadcast. */
export const maximum = (a: Tensor, b: Tensor): Tensor => op("max", [a, b], { attrs: {} });

/** `a b` over the last two axes. */
export const matmul = (
  a: Tensor,
  b: Tensor,
  options: { transposeA?: boolean; transposeB?: boolean } = {},
): Tensor =>
  op("matmul", [a, b], {
    attrs: given("matmul", options, { transposeA: optional(FLAG), transposeB: optional(FLAG) }),
  });

export function softmax(x: Tensor, options: { axis?: number } = {}): Tensor {
  const { axis = -1 } = given("softmax", options, { axis: optional(INDEX) });
  return op("softmax", [x], { attrs: { axis } });
}

export const relu = (x: Tensor): Tensor => op("relu", [x], { attrs: {} });
export const silu = (x: Tensor): Tensor => op("silu", [x], { attrs: {} });

export const tanh = (x: Tensor): Tensor => op("tanh", [x], { attrs: {} });
export const exp = (x: Tensor): Tensor => op("exp", [x], { attrs: {} });
export const sqrt = (x: Tensor): Tensor => op("sqrt", [x], { attrs: {} });

/** PyTorch's `GELU(approximate=...)`: exact by default. */
export function gelu(x: Tensor, options: { approximate?: "none" | "tanh" } = {}): Tensor {
  const { approximate = "none" } = given("gelu", options, { approximate: optional(oneOf("none", "tanh")) });
  return op("gelu", [x], { attrs: { approximate } });
}

const RESHAPE: Kind = {
  words: `${SHAPE.words}, or -1`,
  is: (value) => Array.isArray(value) && SHAPE.is(value.map((dim) => dim === -1 ? 1 : dim)),
};

/** The same elements under another shape; one size may be -1 and is worked out. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  argument("reshape: x", x, TENSOR);
  argument("reshape: the shape", shape, RESHAPE);
  const open = shape.filter((dim) => dim === -1).length;
  if (open > 1) {
    throw new UnfoldError(`reshape: ${showShape(shape)} leaves ${open} sizes to be worked out; at most one`);
  }
  if (open === 0) return op("reshape", [x], { attrs: { shape } });
  const rest = divideDims(sizeOf(x.type.shape), sizeOf(shape.filter((dim) => dim !== -1)));
  if (rest === null) {
    throw new UnfoldError(`reshape: ${showShape(x.type.shape)} does not divide into ${showShape(shape)}`);
  }
  return op("reshape", [x], { attrs: { shape: shape.map((dim) => dim === -1 ? rest : dim) } });
}

/** Axis i of the result is axis `permutation[i]` of `x`. */
export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  argument("transpose: the permutation", permutation, listOf(INDEX));
  return op("transpose", [x], { attrs: { permutation } });
}

/**
 * Python's `x[start:end:step]` along one axis; negative ends count from the back. Instead of the end the number of
 * elements can be given, and that may be open: `slice(positions, { axis: 0, size: "T" })`. Nothing is clamped: an end
 * beyond the axis is an error, and where a size is open the caller promises that the axis reaches that far.
 */
export function slice(
  x: Tensor,
  options: { axis: number; start?: number; end?: number; size?: Dim; step?: number },
): Tensor {
  argument("slice: x", x, TENSOR);
  const { axis, start = 0, end, size, step = 1 } = given("slice", options, {
    axis: INDEX,
    start: optional(INDEX),
    end: optional(INDEX),
    size: optional(DIM),
    step: optional(COUNT),
  });
  const whole = x.type.shape[axisIn(axis, x.type.shape.length, "slice")]!;
  const place = (index: number) => {
    if (index >= 0) return index;
    if (typeof whole !== "number") {
      throw new UnfoldError(`slice: cannot count back from the open size ${whole}`);
    }
    return whole + index;
  };
  if (size !== undefined) {
    if (end !== undefined) throw new UnfoldError(`slice: give the end ${end} or the size ${size}, not both`);
    return op("slice", [x], { attrs: { axis, start: place(start), size, step } });
  }
  if (end === undefined && typeof whole !== "number") {
    throw new UnfoldError(`slice: axis ${axis} has the open size ${whole}: give the end`);
  }
  const [from, to] = [place(start), place(end ?? whole as number)];
  return op("slice", [x], { attrs: { axis, start: from, size: Math.ceil((to - from) / step), step } });
}

/** One element along an axis, which goes away: `x[:, 0]` is `pick(x, { axis: 1, index: 0 })`. */
export function pick(x: Tensor, options: { axis: number; index: number }): Tensor {
  argument("pick: x", x, TENSOR);
  const { axis, index } = given("pick", options, { axis: INDEX, index: INDEX });
  const at = axisIn(axis, x.type.shape.length, "pick");
  const row = slice(
    x,
    { axis: at, start: index, ...(index !== -1 && { end: index + 1 }) },
  );
  return reshape(row, row.type.shape.filter((_, i) => i !== at));
}

/** Tensors side by side along an axis. */
export function concat(xs: readonly Tensor[], options: { axis: number }): Tensor {
  argument("concat: its inputs", xs, listOf(TENSOR));
  return op("concat", xs, { attrs: given("concat", options, { axis: INDEX }) });
}

/** Rows of `x` along `axis` by index; indices of any shape stand in for the axis. */
export function gather(x: Tensor, indices: Tensor, options: { axis?: number } = {}): Tensor {
  const { axis = 0 } = given("gather", options, { axis: optional(INDEX) });
  return op("gather", [x, indices], { attrs: { axis } });
}

/** Repeats axes of size 1 until the tensor has `shape`. */
export function expand(x: Tensor, shape: Shape): Tensor {
  argument("expand: the shape", shape, SHAPE);
  return op("expand", [x], { attrs: { shape } });
}

export interface ReduceOptions {
  readonly axes: readonly number[];
  /** Whether the axes stay, with size 1. */
  readonly keepDims?: boolean;
}

function reduced(what: string, options: ReduceOptions) {
  const { axes, keepDims = false } = given(what, options, {
    axes: listOf(INDEX),
    keepDims: optional(FLAG),
  });
  return { axes, keepDims };
}

/** The mean over axes. */
export const mean = (x: Tensor, options: ReduceOptions): Tensor =>
  op("reduce_mean", [x], { attrs: reduced("mean", options) });

/** The sum over axes. */
export const sum = (x: Tensor, options: ReduceOptions): Tensor =>
  op("reduce_sum", [x], { attrs: reduced("sum", options) });

/** Another element type. */
export function cast(x: Tensor, to: DType): Tensor {
  argument("cast: the element type", to, DTYPE);
  return op("cast", [x], { attrs: { to } });
}

const DTYPE = oneOf(...Object.keys(ITEM_BYTES).filter((type) => type !== "fp64"));

/**
 * `softmax(scale q k^T + mask) v`: q is `[B, H, T, D]`, k and v are `[B, H, S, D]`; `scale` is `1 / sqrt(D)` unless given.
 * Causal, query t sees keys up to `t + (S - T)`: the T queries are the last of S tokens. T and S must then be equal, or
 * fixed with T < S, or T = 1.
 */
export function scaledDotProductAttention(
  inputs: { q: Tensor; k: Tensor; v: Tensor; mask?: Tensor },
  options: { scale?: number; causal?: boolean } = {},
): Tensor {
  const { q, k, v, mask } = given("attention", inputs, {
    q: TENSOR,
    k: TENSOR,
    v: TENSOR,
    mask: optional(TENSOR),
  });
  const { scale, causal = false } = given("attention", options, {
    scale: optional(NUMBER),
    causal: optional(FLAG),
  });
  const headSize = q.type.shape.at(-1) as Dim;
  if (scale === undefined && typeof headSize !== "number") {
    throw new UnfoldError(`attention: give the scale where the head size ${headSize} is open`);
  }
  return op("attention", mask ? [q, k, v, mask] : [q, k, v], {
    attrs: { scale: scale ?? 1 / Math.sqrt(headSize as number), causal },
    // Named after what it mixes, as where there is no mask.
    name: `${v.name.split("/")[0]}/attention`,
  });
}

const ANY_NUMBER: Kind = { words: "numbers", is: (value) => typeof value === "number" };

/** A value known now: numbers, row-major. */
export function constant(
  values: readonly number[],
  options: { shape: readonly number[]; dtype: DType; name?: string },
): Tensor {
  const { shape, dtype, name = "constant" } = given("constant", options, {
    shape: FIXED_SHAPE,
    dtype: DTYPE,
    name: optional(TEXT),
  });
  argument(`${name}: its values`, values, listOf(ANY_NUMBER));
  if (values.length !== elementCount(shape)) {
    throw new UnfoldError(`${name}: ${values.length} values for the shape ${showShape(shape)}`);
  }
  const wide = Float64Array.from(values);
  const held = heldData(shape, wide, name);
  const data = isFloat(dtype) ? held : { ...held, dtype, bytes: () => bytesFromNumbers(wide, dtype) };
  return constantNode(data, { dtype, name });
}
