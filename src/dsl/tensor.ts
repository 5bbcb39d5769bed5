/**
 * Operators as functions over symbolic tensors. Each takes tensors and options, checks shapes at once and returns the
 * new tensor; nothing is computed. What needs parameters is in `layers.ts`.
 */
import { UnfoldError } from "../errors.ts";
import { bytesFromNumbers, heldData } from "../ir/data.ts";
import { type DType, isFloat } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { axisIn, type Dim, divideDims, type Shape, showShape, sizeOf } from "../ir/shape.ts";
import { apply, constantNode } from "../ops/mod.ts";

/** A symbolic tensor: its element type and shape are `type.dtype` and `type.shape`. */
export type Tensor = Node;

/** `a + b`, broadcast. */
export const add = (a: Tensor, b: Tensor): Tensor => apply("add", [a, b], { attrs: {} });

/** `a * b`, broadcast. */
export const mul = (a: Tensor, b: Tensor): Tensor => apply("mul", [a, b], { attrs: {} });

/** `a - b`, broadcast. */
export const sub = (a: Tensor, b: Tensor): Tensor => apply("sub", [a, b], { attrs: {} });

/** `a / b`, broadcast; of floating-point numbers. */
export const div = (a: Tensor, b: Tensor): Tensor => apply("div", [a, b], { attrs: {} });

/** The larger of `a` and `b`, broadcast. */
export const maximum = (a: Tensor, b: Tensor): Tensor => apply("max", [a, b], { attrs: {} });

/** `a b` over the last two axes. */
export const matmul = (
  a: Tensor,
  b: Tensor,
  options: { transposeA?: boolean; transposeB?: boolean } = {},
): Tensor => apply("matmul", [a, b], { attrs: options });

export const softmax = (x: Tensor, { axis = -1 } = {}): Tensor => apply("softmax", [x], { attrs: { axis } });
export const relu = (x: Tensor): Tensor => apply("relu", [x], { attrs: {} });
export const silu = (x: Tensor): Tensor => apply("silu", [x], { attrs: {} });

export const tanh = (x: Tensor): Tensor => apply("tanh", [x], { attrs: {} });
export const exp = (x: Tensor): Tensor => apply("exp", [x], { attrs: {} });
export const sqrt = (x: Tensor): Tensor => apply("sqrt", [x], { attrs: {} });

/** PyTorch's `GELU(approximate=...)`: exact by default. */
export const gelu = (x: Tensor, { approximate = "none" }: { approximate?: "none" | "tanh" } = {}): Tensor =>
  apply("gelu", [x], { attrs: { approximate } });

/** The same elements under another shape; one size may be -1 and is worked out. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const open = shape.filter((dim) => dim === -1).length;
  if (open > 1) {
    throw new UnfoldError(`reshape: ${showShape(shape)} leaves ${open} sizes to be worked out; at most one`);
  }
  if (open === 0) return apply("reshape", [x], { attrs: { shape } });
  const rest = divideDims(sizeOf(x.type.shape), sizeOf(shape.filter((dim) => dim !== -1)));
  if (rest === null) {
    throw new UnfoldError(`reshape: ${showShape(x.type.shape)} does not divide into ${showShape(shape)}`);
  }
  return apply("reshape", [x], { attrs: { shape: shape.map((dim) => dim === -1 ? rest : dim) } });
}

/** Axis i of the result is axis `permutation[i]` of `x`. */
export const transpose = (x: Tensor, permutation: readonly number[]): Tensor =>
  apply("transpose", [x], { attrs: { permutation } });

/**
 * Python's `x[start:end:step]` along one axis; negative ends count from the back. Instead of the end the number of
 * elements can be given, and that may be open: `slice(positions, { axis: 0, size: "T" })`. Nothing is clamped: an end
 * beyond the axis is an error, and where a size is open the caller promises that the axis reaches that far.
 */
export function slice(
  x: Tensor,
  { axis, start = 0, end, size, step = 1 }: {
    axis: number;
    start?: number;
    end?: number;
    size?: Dim;
    step?: number;
  },
): Tensor {
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
    return apply("slice", [x], { attrs: { axis, start: place(start), size, step } });
  }
  if (end === undefined && typeof whole !== "number") {
    throw new UnfoldError(`slice: axis ${axis} has the open size ${whole}: give the end`);
  }
  const [from, to] = [place(start), place(end ?? whole as number)];
  return apply("slice", [x], { attrs: { axis, start: from, size: Math.ceil((to - from) / step), step } });
}

/** One element along an axis, which goes away: `x[:, 0]` is `pick(x, { axis: 1, index: 0 })`. */
export function pick(x: Tensor, { axis, index }: { axis: number; index: number }): Tensor {
  const at = axisIn(axis, x.type.shape.length, "pick");
  const row = slice(
    x,
    { axis: at, start: index, ...(index !== -1 && { end: index + 1 }) },
  );
  return reshape(row, row.type.shape.filter((_, i) => i !== at));
}

/** Tensors side by side along an axis. */
export const concat = (xs: readonly Tensor[], { axis }: { axis: number }): Tensor =>
  apply("concat", xs, { attrs: { axis } });

/** Rows of `x` along `axis` by index; indices of any shape stand in for the axis. */
export const gather = (x: Tensor, indices: Tensor, { axis = 0 } = {}): Tensor =>
  apply("gather", [x, indices], { attrs: { axis } });

/** Repeats axes of size 1 until the tensor has `shape`. */
export const expand = (x: Tensor, shape: Shape): Tensor => apply("expand", [x], { attrs: { shape } });

/** The mean over axes. */
export const mean = (
  x: Tensor,
  { axes, keepDims = false }: { axes: readonly number[]; keepDims?: boolean },
): Tensor => apply("reduce_mean", [x], { attrs: { axes, keepDims } });

/** The sum over axes. */
export const sum = (
  x: Tensor,
  { axes, keepDims = false }: { axes: readonly number[]; keepDims?: boolean },
): Tensor => apply("reduce_sum", [x], { attrs: { axes, keepDims } });

/** Another element type. */
export const cast = (x: Tensor, to: DType): Tensor => apply("cast", [x], { attrs: { to } });

/**
 * `softmax(scale q k^T + mask) v`: q is `[B, H, T, D]`, k and v are `[B, H, S, D]`; `scale` is `1 / sqrt(D)` unless given.
 * Causal, query t sees keys up to `t + (S - T)`: the T queries are the last of S tokens. T and S must then be equal, or
 * fixed with T < S, or T = 1.
 */
export function scaledDotProductAttention(
  { q, k, v, mask }: { q: Tensor; k: Tensor; v: Tensor; mask?: Tensor },
  { scale, causal = false }: { scale?: number; causal?: boolean } = {},
): Tensor {
  const headSize = q.type.shape.at(-1) as Dim;
  if (scale === undefined && typeof headSize !== "number") {
    throw new UnfoldError(`attention: give the scale where the head size ${headSize} is open`);
  }
  return apply("attention", mask ? [q, k, v, mask] : [q, k, v], {
    attrs: { scale: scale ?? 1 / Math.sqrt(headSize as number), causal },
    // Named after what it mixes, as where there is no mask.
    name: `${v.name.split("/")[0]}/attention`,
  });
}

/** A value known now: numbers, row-major. */
export function constant(
  values: readonly number[],
  { shape, dtype, name = "constant" }: { shape: readonly number[]; dtype: DType; name?: string },
): Tensor {
  const wide = Float64Array.from(values);
  const held = heldData(shape, wide, name);
  const data = isFloat(dtype) ? held : { ...held, dtype, bytes: () => bytesFromNumbers(wide, dtype) };
  return constantNode(data, { dtype, name });
}
