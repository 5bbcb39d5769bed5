/**
 * The order of an image's tokens, as data: the place in the grid that each token has. Windows, cyclic shifts,
 * padding and the merging of patches are orders too, so that going from one to another is a single gather,
 * however many rolls, partitions and reversals a paper writes. All sizes are known when the network is
 * described.
 */
import { UnfoldError } from "../errors.ts";
import {
  argument,
  COUNT,
  either,
  given,
  type Kind,
  listOf,
  OBJECT,
  oneOf,
  optional,
  partsOf,
  whole,
} from "../ir/given.ts";
import { showShape } from "../ir/shape.ts";
import { concat, constant, TENSOR, type Tensor } from "./tensor.ts";

/** Rows and columns of an image's tokens. */
export interface Grid {
  /** Rows. */
  readonly height: number;
  /** Columns. */
  readonly width: number;
}

/** The grid of an image's patches, or of a grid's. */
export function gridOf(image: readonly [height: number, width: number], patch: number): Grid {
  argument("gridOf: the image", image, listOf(COUNT, 2));
  argument("gridOf: the patch", patch, COUNT);
  const [height, width] = image;
  if (height % patch !== 0 || width % patch !== 0) {
    throw new UnfoldError(`${height}x${width} does not divide into patches of ${patch}x${patch}`);
  }
  return { height: height / patch, width: width / patch };
}

/** The most tokens of a grid, or entries of a table over them, that a description works out one by one. */
const MOST_TOKENS = 2 ** 22;

/** What an order is made from: a grid of not too many tokens. */
function checkedGrid(what: string, grid: Grid): Grid {
  const { height, width } = partsOf(what, grid, { height: COUNT, width: COUNT });
  requireFew(what, height * width);
  return { height, width };
}

function requireFew(what: string, count: number): void {
  if (count <= MOST_TOKENS) return;
  throw new UnfoldError(`${what}: ${count} entries are more than the ${MOST_TOKENS} that can be described`);
}

/** A number for both axes, or for each. */
export const PER_AXIS: Kind = either(whole(0), listOf(whole(0), 2));
/** The same, from 1 on. */
export const SIDES: Kind = either(COUNT, listOf(COUNT, 2));
const WINDOWS = {
  window: SIDES,
  shift: PER_AXIS,
  padding: optional(oneOf("first", "last")),
};
const ORDER: Kind = { words: "an order of tokens, a list of places", is: listOf(whole(-1)).is };

/** For each token, its place in the grid counted row by row; `PADDING` for a token of zeros. */
export type TokenOrder = readonly number[];

/** The place of a token that is not of the image. */
export const PADDING: number = -1;

/** Row by row, as a patch embedding leaves them. */
export function rowMajor(grid: Grid): TokenOrder {
  const { height, width } = checkedGrid("rowMajor", grid);
  return Array.from({ length: height * width }, (_, place) => place);
}

/** Along the rows' axis and the columns', or one number for both. */
export type PerAxis = number | readonly [height: number, width: number];

/** The number of each axis. */
export function eachAxis(size: PerAxis): readonly [height: number, width: number] {
  argument("eachAxis: the size", size, PER_AXIS);
  return typeof size === "number" ? [size, size] : size;
}

/** How a grid is cut into windows. */
export interface Windows {
  /** Sides of a window, in tokens. */
  readonly window: PerAxis;
  /** How far the grid is rolled up and to the left before it is cut. */
  readonly shift: PerAxis;
  /** Whether a grid that windows do not fill is padded before it is rolled (default) or after (timm). */
  readonly padding?: "first" | "last";
}

/** The grid with padding at the right and below, so that whole windows fill it. */
export function paddedGrid(grid: Grid, window: PerAxis): Grid {
  const { height, width } = checkedGrid("paddedGrid", grid);
  argument("paddedGrid: the window", window, SIDES);
  const [rows, columns] = eachAxis(window);
  const wholeWindows = (size: number, side: number) => Math.ceil(size / side) * side;
  const padded = { height: wholeWindows(height, rows), width: wholeWindows(width, columns) };
  requireFew("paddedGrid", padded.height * padded.width);
  return padded;
}

/** Window after window, row by row in and out: padded, rolled by `shift`, then cut (Swin, section 3.2). */
export function windowOrder(grid: Grid, windows: Windows): TokenOrder {
  const { window, shift, padding = "first" } = partsOf("windowOrder", windows, WINDOWS);
  const padded = paddedGrid(grid, window);
  const [down, right] = eachAxis(shift);
  // Where padding comes last, it stays at the edge and the image rolls within itself.
  const rolled = (at: number, { by, size, whole }: { by: number; size: number; whole: number }) =>
    padding === "first" ? (at + by) % whole : at < size ? (at + by) % size : at;
  return windowPlaces(padded, window).map((place) => {
    const row = rolled(Math.floor(place / padded.width), {
      by: down,
      size: grid.height,
      whole: padded.height,
    });
    const column = rolled(place % padded.width, { by: right, size: grid.width, whole: padded.width });
    return row < grid.height && column < grid.width ? row * grid.width + column : PADDING;
  });
}

/**
 * Four by four: the tokens of the doubled grid that patch merging sets side by side, for each merged token in
 * the order `merged`. `"columns"` goes down first, (0, 0), (1, 0), (0, 1), (1, 1); `"rows"` is the order of
 * an unfold. `of` is the grid that merges where it is odd and so not the doubled one: it is padded at the
 * right and below.
 */
export function mergingOrder(
  grid: Grid,
  options: { merged: TokenOrder; within: "columns" | "rows"; of?: Grid },
): TokenOrder {
  const { height, width } = checkedGrid("mergingOrder", grid);
  const { merged, within, of: unchecked = { height: 2 * height, width: 2 * width } } = given(
    "mergingOrder",
    options,
    { merged: ORDER, within: oneOf("columns", "rows"), of: optional(OBJECT) },
  );
  const of = checkedGrid("mergingOrder: of", unchecked);
  const four = within === "columns" ? [[0, 0], [1, 0], [0, 1], [1, 1]] : [[0, 0], [0, 1], [1, 0], [1, 1]];
  return merged.flatMap((place) => {
    const [top, left] = [2 * Math.floor(place / width), 2 * (place % width)];
    return four.map(([down, right]) => {
      const [row, column] = [top + down!, left + right!];
      return row < of.height && column < of.width ? row * of.width + column : PADDING;
    });
  });
}

/** Every kernel position of every stride, row by row inside and out, zeros outside: PyTorch's `Unfold`. */
export function unfoldOrder(
  grid: Grid,
  options: { kernel: number; stride: number; padding: number },
): TokenOrder {
  const { height, width } = checkedGrid("unfoldOrder", grid);
  const { kernel, stride, padding } = given("unfoldOrder", options, {
    kernel: COUNT,
    stride: COUNT,
    padding: whole(0),
  });
  const room = Math.min(height, width) + 2 * padding - kernel;
  if (room < 0) throw new UnfoldError(`unfoldOrder: a kernel of ${kernel} does not fit ${height}x${width}`);
  requireFew(
    "unfoldOrder",
    kernel * kernel * ((height + 2 * padding - kernel) / stride + 1) *
      ((width + 2 * padding - kernel) / stride + 1),
  );
  const steps = (size: number) =>
    Array.from(
      { length: Math.floor((size + 2 * padding - kernel) / stride) + 1 },
      (_, i) => i * stride - padding,
    );
  const inside = Array.from({ length: kernel }, (_, i) => i);
  return steps(height).flatMap((top) =>
    steps(width).flatMap((left) =>
      inside.flatMap((y) =>
        inside.map((x) => {
          const [row, column] = [top + y, left + x];
          const isInside = row >= 0 && row < height && column >= 0 && column < width;
          return isInside ? row * width + column : PADDING;
        })
      )
    )
  );
}

/** Tokens `[B, T, C]` in another order; padding of `to` becomes zeros, padding of `from` is dropped. */
export function reorder(x: Tensor, orders: { from: TokenOrder; to: TokenOrder }): Tensor {
  argument("reorder: x", x, TENSOR);
  const { from, to } = given("reorder", orders, { from: ORDER, to: ORDER });
  const [batch, tokens, channels] = x.shape;
  if (x.shape.length !== 3 || tokens !== from.length || typeof channels !== "number") {
    throw new UnfoldError(`reorder: the order is of ${from.length} tokens, the tensor ${showShape(x.shape)}`);
  }
  const position = new Map(from.map((place, i) => [place, i]));
  // A row of zeros behind the others is what padding reads.
  position.set(PADDING, from.length);
  const indices = to.map((place) => {
    const at = position.get(place);
    if (at === undefined) throw new UnfoldError(`reorder: place ${place} is not among the tokens`);
    return at;
  });
  if (indices.length === from.length && indices.every((at, i) => at === i)) return x;
  let rows = x;
  if (to.includes(PADDING)) {
    const zeros = constant(new Array<number>(channels).fill(0), {
      shape: [1, 1, channels],
      dtype: x.dtype,
      name: "zeros",
    });
    rows = concat([x, zeros.expand([batch!, 1, channels])], { axis: 1 });
  }
  return rows.gather(constant(indices, { dtype: "int32", name: "order" }), { axis: 1 });
}

/** Of each pair of a window's tokens, the row of its bias in the table `[(2 h - 1) (2 w - 1), heads]`. */
export function relativePositions(window: PerAxis): number[] {
  argument("relativePositions: the window", window, SIDES);
  const [height, width] = eachAxis(window);
  requireFew("relativePositions", (height * width) ** 2);
  const tokens = Array.from(
    { length: height * width },
    (_, i) => [Math.floor(i / width), i % width] as const,
  );
  const span = 2 * width - 1;
  return tokens.flatMap(([y, x]) =>
    tokens.map(([v, u]) => (y - v + height - 1) * span + (x - u + width - 1))
  );
}

/**
 * Of each pair of tokens, a query of every `stride`-th row and column and a key, the row of its bias by how
 * far they are apart, `|dy| width + |dx|` (LeViT, Graham et al. 2021).
 */
export function distances(grid: Grid, options: { readonly stride?: number } = {}): number[] {
  const { height, width } = checkedGrid("distances", grid);
  const { stride = 1 } = given("distances", options, { stride: optional(COUNT) });
  const steps = (size: number, step: number) =>
    Array.from({ length: Math.ceil(size / step) }, (_, i) => i * step);
  const places = (step: number) =>
    steps(height, step).flatMap((y) => steps(width, step).map((x) => [y, x] as const));
  const queries = places(stride);
  requireFew("distances", queries.length * height * width);
  const keys = places(1);
  return queries.flatMap(([y, x]) => keys.map(([v, u]) => Math.abs(y - v) * width + Math.abs(x - u)));
}

/** Whether two tokens of a shifted window are from different sides of the image: `[windows, T, T]`. */
export function shiftMask(grid: Grid, windows: Windows): boolean[] {
  const { window, shift } = partsOf("shiftMask", windows, WINDOWS);
  const { height, width } = paddedGrid(grid, window);
  const [rows, columns] = eachAxis(window);
  const [down, right] = eachAxis(shift);
  const size = rows * columns;
  requireFew("shiftMask", height * width * size);
  const region = (at: number, window: number, shift: number) => at < -window ? 0 : at < -shift ? 1 : 2;
  const regions = windowPlaces({ height, width }, window).map((place) =>
    3 * region(Math.floor(place / width) - height, rows, down) + region(place % width - width, columns, right)
  );
  return regions.flatMap((own, i) => {
    const start = i - i % size;
    return regions.slice(start, start + size).map((other) => own !== other);
  });
}

/** Places of a grid of whole windows, window after window. */
function windowPlaces({ height, width }: Grid, window: PerAxis): number[] {
  const [rows, columns] = eachAxis(window);
  const steps = (size: number, side: number) => Array.from({ length: size / side }, (_, i) => i * side);
  const inside = (side: number) => Array.from({ length: side }, (_, i) => i);
  return steps(height, rows).flatMap((top) =>
    steps(width, columns).flatMap((left) =>
      inside(rows).flatMap((y) => inside(columns).map((x) => (top + y) * width + left + x))
    )
  );
}
