/** What is done to maps `[B, C, H, W]` without parameters: pools, padding and other sizes. */
import { argument, COUNT, DIM, FLAG, given, listOf, NUMBER, oneOf, optional, whole } from "../../ir/given.ts";
import type { Dim } from "../../ir/shape.ts";
import { fixed } from "../description.ts";
import { op, TENSOR, type Tensor } from "../tensor.ts";

/** Windows of a pool. */
export interface PoolOptions {
  /** What is taken of each window: its mean, or its largest element. */
  readonly of: "average" | "max";
  /** Side of the square window. */
  readonly kernel: number;
  /** Rows and columns from one window to the next; as many as the window has unless said. */
  readonly stride?: number;
  /** Rows and columns by which windows reach beyond the map on each side; 0 unless said. */
  readonly padding?: number;
}

/** `[B, C, H, W]` to `[B, C, H', W']`: of each window its elements within the map; padding counts nothing. */
export function pool(x: Tensor, options: PoolOptions): Tensor {
  argument("pool: x", x, TENSOR);
  const { of, kernel, stride = kernel, padding = 0 } = given("pool", options, {
    of: oneOf("average", "max"),
    kernel: COUNT,
    stride: optional(COUNT),
    padding: optional(whole(0)),
  });
  return op(`${of}_pool`, [x], {
    attrs: { kernel: [kernel, kernel], stride: [stride, stride], padding: [padding, padding] },
  });
}

/** Another size of a map. */
export interface ResizeOptions {
  /** The new height. */
  readonly height: Dim;
  /** The new width. */
  readonly width: Dim;
  /** How elements between others are made; `linear` unless said. */
  readonly mode?: "nearest" | "linear" | "cubic";
  /** Whether the middles of the outermost elements stay in their places; their edges do unless said. */
  readonly alignCorners?: boolean;
}

/** `[B, C, H, W]` to `[B, C, height, width]`, as PyTorch's `interpolate`, without antialiasing. */
export function resize(x: Tensor, options: ResizeOptions): Tensor {
  argument("resize: x", x, TENSOR);
  const { height, width, mode = "linear", alignCorners = false } = given("resize", options, {
    height: DIM,
    width: DIM,
    mode: optional(oneOf("nearest", "linear", "cubic")),
    alignCorners: optional(FLAG),
  });
  const shape = [...x.sizes(4).slice(0, 2), fixed(height), fixed(width)];
  return op("resize", [x], { attrs: { mode, alignCorners, shape } });
}

/** What is set around a tensor. */
export interface PadOptions {
  /** Elements in front of each axis. */
  readonly before: readonly number[];
  /** Elements behind each axis. */
  readonly after: readonly number[];
  /** Their value; 0 unless said. */
  readonly value?: number;
}

/** A tensor with a number set around it. */
export function pad(x: Tensor, options: PadOptions): Tensor {
  argument("pad: x", x, TENSOR);
  const counts = listOf(whole(0));
  const { before, after, value = 0 } = given("pad", options, {
    before: counts,
    after: counts,
    value: optional(NUMBER),
  });
  return op("pad", [x], { attrs: { before, after, value } });
}
