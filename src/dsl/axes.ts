/**
 * What methods of a tensor that change its axes are asked for, as the attributes of operators: a size worked
 * out, places counted from the end. Nothing here knows tensors, only their shapes.
 */
import { UnfoldError } from "../errors.ts";
import { argument, COUNT, DIM, FLAG, given, INDEX, type Kind, listOf, optional, SHAPE } from "../ir/given.ts";
import { axisIn, type Dim, divideDims, type Shape, showShape, sizeOf } from "../ir/shape.ts";
import type { AttrsOf } from "../ops/table.ts";
import { fixed } from "./description.ts";

/** The axes of a reduction. */
export interface ReduceOptions {
  /** Each axis once, counted from the end where it is negative. */
  readonly axes: readonly number[];
  /** Whether the axes stay, with size 1; false unless said. */
  readonly keepDims?: boolean;
}

/** Part of an axis, as Python's `[start:end:step]`. */
export interface SliceOptions {
  /** Counted from the end where it is negative. */
  readonly axis: number;
  /** The first element, counted from the end where it is negative; 0 unless said. */
  readonly start?: number;
  /** Behind the last element; the end of the axis unless said. */
  readonly end?: number;
  /** How many elements, in place of the end; it may be open, as `"T"`. */
  readonly size?: Dim;
  /** Every how many; 1 unless said. */
  readonly step?: number;
}

const RESHAPE: Kind = {
  words: `${SHAPE.words}, or -1`,
  is: (value) => Array.isArray(value) && SHAPE.is(value.map((dim) => dim === -1 ? 1 : dim)),
};

/** Another shape of as many elements; one size may be -1. */
export function reshaped(from: Shape, to: Shape): AttrsOf<"reshape"> {
  argument("reshape: the shape", to, RESHAPE);
  const shape = to.map(fixed);
  const open = shape.filter((dim) => dim === -1).length;
  if (open > 1) {
    throw new UnfoldError(`reshape: ${showShape(shape)} leaves ${open} sizes to be worked out; at most one`);
  }
  if (open === 0) return { shape };
  const rest = divideDims(sizeOf(from), sizeOf(shape.filter((dim) => dim !== -1)));
  if (rest !== null) return { shape: shape.map((dim) => dim === -1 ? rest : dim) };
  throw new UnfoldError(`reshape: ${showShape(from)} does not divide into ${showShape(shape)}`);
}

/** Part of an axis of `shape`. */
export function sliced(shape: Shape, options: SliceOptions): AttrsOf<"slice"> {
  const { axis, start = 0, end, size, step = 1 } = given("slice", options, {
    axis: INDEX,
    start: optional(INDEX),
    end: optional(INDEX),
    size: optional(DIM),
    step: optional(COUNT),
  });
  const all = shape[axisIn(axis, shape.length, "slice")]!;
  const place = (index: number) => {
    if (index >= 0) return index;
    if (typeof all === "number") return all + index;
    throw new UnfoldError(`slice: cannot count back from the open size ${all}`);
  };
  if (size !== undefined) {
    if (end === undefined) return { axis, start: place(start), size: fixed(size), step };
    throw new UnfoldError(`slice: give the end ${end} or the size ${size}, not both`);
  }
  if (end === undefined && typeof all !== "number") {
    throw new UnfoldError(`slice: axis ${axis} has the open size ${all}: give the end`);
  }
  const [from, to] = [place(start), place(end ?? all as number)];
  return { axis, start: from, size: Math.ceil((to - from) / step), step };
}

/** The axes of a reduction `what`. */
export function reduced(what: string, options: ReduceOptions): AttrsOf<"reduce_mean"> {
  const { axes, keepDims = false } = given(what, options, { axes: listOf(INDEX), keepDims: optional(FLAG) });
  return { axes, keepDims };
}
