/**
 * Tables that a description computes: orders of an image's tokens, masks of shifted windows, rows of biases
 * by position. Which grid and windows, a graph does not say: those are tried that make the same numbers.
 */
import * as orders from "../dsl/token_order.ts";
import { float64Of } from "../ir/data.ts";
import type { Node } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import { type Definition, literal, type Phrase, phrase } from "./phrase.ts";

/** Numbers that are written out; tables of more have no place in a script. */
const MOST_NUMBERS = 64;
/** Numbers that need no rule. */
export const FEW_NUMBERS = 8;
/** Pairs of a window's tokens, or of a map's; more are not tried. */
const MOST_PAIRS = 2 ** 17;
/** More tokens are not tried. */
const MOST_TOKENS = 2 ** 14;

/** An expression that is no tensor, and what of the language is in it. */
interface Made {
  readonly text: Phrase;
  readonly imports: readonly string[];
}

/** A constant's numbers. */
export interface Table extends Made {
  /** Whether they are written out one by one. */
  readonly isList: boolean;
}

/** Ways to divide tokens into rows and columns, the squarest first, none longer than three squares. */
function gridsOf(tokens: number): orders.Grid[] {
  const heights = Array.from({ length: Math.floor(Math.sqrt(tokens)) }, (_, i) => i + 1)
    .filter((height) => tokens % height === 0 && tokens <= 3 * height ** 2).toReversed();
  return heights.flatMap((height) => {
    const width = tokens / height;
    return height === width ? [{ height, width }] : [{ height, width }, { height: width, width: height }];
  });
}

const gridText = ({ height, width }: orders.Grid): Definition => ({
  called: "grid",
  definition: [`{ height: ${height}, width: ${width} }`],
});

export interface Order extends Made {
  readonly called: string;
  readonly places: orders.TokenOrder;
}

const known = new Map<number, readonly Order[]>();

/** Orders of so many tokens: row by row, in windows that are shifted or not, as patches merge. */
function ordersOf(tokens: number): readonly Order[] {
  return known.getOrInsertComputed(tokens, () => {
    const merging = tokens % 4 !== 0
      ? []
      : gridsOf(tokens / 4).flatMap((grid) =>
        ordersIn(grid).flatMap((merged) =>
          (["columns", "rows"] as const).map((within): Order => ({
            called: "merging",
            places: orders.mergingOrder(grid, { merged: merged.places, within }),
            text: phrase`mergingOrder(${gridText(grid)}, { merged: ${named(merged)}, within: ${
              literal(within)
            } })`,
            imports: ["mergingOrder", ...merged.imports],
          }))
        )
      );
    return [...gridsOf(tokens).flatMap(ordersIn), ...merging];
  });
}

function ordersIn(grid: orders.Grid): readonly Order[] {
  const { height, width } = grid;
  const sides = Array.from({ length: Math.min(height, width) }, (_, i) => i + 1)
    .filter((side) => side > 1 && height % side === 0 && width % side === 0);
  const inWindows = sides.flatMap((window) =>
    [0, Math.floor(window / 2)].map((shift): Order => ({
      called: shift === 0 ? "windows" : "shiftedWindows",
      places: orders.windowOrder(grid, { window, shift }),
      text: phrase`windowOrder(${gridText(grid)}, { window: ${literal(window)}, shift: ${literal(shift)} })`,
      imports: ["windowOrder"],
    }))
  );
  const inRows: Order = {
    called: "rows",
    places: orders.rowMajor(grid),
    text: phrase`rowMajor(${gridText(grid)})`,
    imports: ["rowMajor"],
  };
  return [inRows, ...inWindows];
}

/** Two orders between which rows are gathered. */
export interface Reordering {
  readonly from: Order;
  readonly to: Order;
}

/** Orders that `rows` leads between, from `now` where that may be; null where none that is tried fits. */
export function reorderingOf(rows: Float64Array, now: Order | null): Reordering | null {
  if (rows.length > MOST_TOKENS) return null;
  const all = ordersOf(rows.length);
  const byPlaces = new Map(all.toReversed().map((order) => [order.places.join(), order]));
  for (const from of now === null ? all : [now, ...all]) {
    // Row i of the result has the place that row `rows[i]` had.
    const to = byPlaces.get(Array.from(rows, (row) => from.places[row]).join());
    if (to !== undefined) return { from, to };
  }
  return null;
}

/** An order under its name. */
export const named = ({ called, text }: Order): Definition => ({ called, definition: text });

/** The expression of a constant's numbers; null where they are too many and no function makes them. */
export function tableOf(node: Node): Table | null {
  const values = float64Of(dataOf(node));
  const table = values.length <= FEW_NUMBERS
    ? null
    : rowsOf(values) ?? maskOf(values, node.type.shape as readonly number[]);
  if (table !== null) return { ...table, isList: false };
  const series = seriesOf([...values]);
  return series === null
    ? null
    : { text: [series], imports: [], isList: values.length > FEW_NUMBERS && series === literal([...values]) };
}

/** Rows of biases by the positions of each pair of tokens. */
function rowsOf(values: Float64Array): Made | null {
  const tokens = Math.sqrt(values.length);
  const isSame = (rows: readonly number[]) =>
    rows.length === values.length && rows.every((row, i) => row === values[i]);
  if (values.length > MOST_PAIRS) return null;
  if (Number.isInteger(tokens)) {
    for (const { height, width } of gridsOf(tokens)) {
      const window = height === width ? height : [height, width] as const;
      if (isSame(orders.relativePositions(window))) {
        return { text: [`relativePositions(${literal(window)})`], imports: ["relativePositions"] };
      }
    }
  }
  // Queries of every second row and column, where patches merge.
  for (const stride of [1, 2]) {
    for (const grid of gridsOf(Math.round(tokens * stride))) {
      const rows = orders.distances(grid, { stride });
      if (!isSame(rows)) continue;
      const settings = stride === 1 ? "" : `, { stride: ${stride} }`;
      return { text: phrase`distances(${gridText(grid)}${settings})`, imports: ["distances"] };
    }
  }
  return null;
}

/** A number for each pair of tokens that only a shift has made neighbours, zero for the others. */
function maskOf(values: Float64Array, shape: readonly number[]): Made | null {
  const tokens = shape.at(-1)!;
  const hidden = values.find((value) => value !== 0);
  const isMask = shape.length > 2 && shape.at(-2) === tokens && hidden !== undefined &&
    values.every((value) => value === 0 || value === hidden);
  const window = Math.sqrt(tokens);
  if (!isMask || !Number.isInteger(window)) return null;
  const shift = Math.floor(window / 2);
  for (const grid of gridsOf(values.length / tokens)) {
    if (grid.height % window !== 0 || grid.width % window !== 0) continue;
    const mask = orders.shiftMask(grid, { window, shift });
    if (!mask.every((isHidden, i) => isHidden === (values[i] !== 0))) continue;
    const windows = `{ window: ${window}, shift: ${shift} }`;
    return {
      text: phrase`shiftMask(${gridText(grid)}, ${windows}).map((isHidden) => isHidden ? ${
        literal(hidden)
      } : 0)`,
      imports: ["shiftMask"],
    };
  }
  return null;
}

/**
 * Numbers as one would type them: all of a few, many that are equal or count up by a rule; null of any
 * others.
 */
function seriesOf(values: readonly number[]): string | null {
  if (values.length <= FEW_NUMBERS) return literal(values);
  const { length } = values;
  const [first, second] = values as [number, number];
  if (values.every((value) => value === first)) return `Array(${length}).fill(${literal(first)})`;
  const counts = values.every((value, i) => value === first + i * (second - first));
  if (counts && second - first === 1) {
    return `Array.from({ length: ${length} }, (_, i) => ${first === 0 ? "i" : `i + ${first}`})`;
  }
  return length <= MOST_NUMBERS ? literal(values) : null;
}
