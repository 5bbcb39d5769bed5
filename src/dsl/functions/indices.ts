/** Positions that are computed while the network runs, and what is read by them. */
import { argument, DIM, FLAG, given, INDEX, optional } from "../../ir/given.ts";
import type { Dim } from "../../ir/shape.ts";
import { fixed } from "../description.ts";
import { op, type Tensor } from "../tensor.ts";

/** An axis. */
export interface AxisOptions {
  /** Which; the last unless said. */
  readonly axis?: number;
}

const axisOf = (what: string, options: AxisOptions): number =>
  given(what, options, { axis: optional(INDEX) }).axis ?? -1;

/** `0, 1, ..., size - 1`, int64. */
export function range(size: Dim): Tensor {
  argument("range: the size", size, DIM);
  return op("range", [], { attrs: { size: fixed(size) } });
}

/** A size as a number to compute with, `[1]`, int64: `size("T")`, where that is open. */
export function size(of: Dim): Tensor {
  argument("size: which", of, DIM);
  return op("size", [], { attrs: { size: fixed(of) } });
}

/** The place of the largest element along an axis, the first of equal ones, int64. */
export function argMax(x: Tensor, options: AxisOptions & { readonly keepDims?: boolean } = {}): Tensor {
  const { axis = -1, keepDims = false } = given("argMax", options, {
    axis: optional(INDEX),
    keepDims: optional(FLAG),
  });
  return op("arg_max", [x], { attrs: { axis, keepDims } });
}

/** Sums of the elements along an axis up to each. */
export function cumulativeSum(x: Tensor, options: AxisOptions = {}): Tensor {
  return op("cumulative_sum", [x], { attrs: { axis: axisOf("cumulativeSum", options) } });
}

/** At each place of `indices` the element of `x` there, but for an axis along which the index counts. */
export function gatherElements(x: Tensor, indices: Tensor, options: AxisOptions = {}): Tensor {
  return op("gather_elements", [x, indices], { attrs: { axis: axisOf("gatherElements", options) } });
}

/** The entries of `x` at positions of its first k axes, which are rows of `positions [..., k]`. */
export function gatherAt(x: Tensor, positions: Tensor): Tensor {
  return op("gather_nd", [x, positions], { attrs: {} });
}
