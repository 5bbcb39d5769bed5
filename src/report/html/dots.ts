/**
 * Figures of many named things as dots, a row each, and what a number of steps costs as a line. Plain data
 * in, SVG out. Ratios with intervals are `intervals.ts`.
 */
import { SYMBOLS } from "./intervals.ts";
import { type Canvas, shortened } from "./parts.ts";
import { linearTicks, logTicks, rangeOf } from "./scales.ts";
import { drawn, GRID, MUTED, Plot, seriesColour } from "./svg.ts";

/** A named thing with one figure of each series, in one unit; null where it has none. */
export interface DotRow {
  readonly label: string;
  readonly values: readonly (number | null)[];
}

/** Rows of dots: the nth value of each has the nth colour and symbol. */
export function dots(rows: readonly DotRow[], { unit, canvas }: { unit: string; canvas: Canvas }): string {
  const { width, isNarrow } = canvas;
  const all = rows.flatMap(({ label, values }, row) =>
    values.flatMap((value, series) => value === null ? [] : [{ label, row, value, series }])
  );
  const { range, isLog } = rangeOf(all.map(({ value }) => value));
  const rowHeight = isNarrow ? 32 : 20;
  const y = (row: number) => (row + (isNarrow ? 0.75 : 0.5)) * rowHeight;
  const most = isNarrow ? 40 : 38;
  const longest = Math.min(most, Math.max(...rows.map(({ label }) => label.length)));
  const marginLeft = isNarrow ? 12 : 24 + longest * 6.8;
  const ticks = isLog ? logTicks(range, isNarrow ? 5 : 9) : linearTicks(range, isNarrow ? 5 : 9);
  return drawn({
    width,
    height: rows.length * rowHeight + 44,
    marginLeft,
    marginRight: 20,
    marginTop: 0,
    marginBottom: 40,
    x: { domain: [...range], type: isLog ? "log" : "linear" },
    y: { domain: [rows.length * rowHeight, 0], axis: null },
    symbol: { type: "identity" } as never,
    marks: [
      Plot.gridX({ ticks, ...GRID }),
      Plot.ruleY(rows, { y: (_, row) => y(row), stroke: "var(--grid)" }),
      Plot.dot(all, {
        x: "value",
        y: ({ row }) => y(row),
        r: 4.5,
        symbol: ({ series }: { series: number }) => SYMBOLS[series % SYMBOLS.length],
        fill: ({ series }) => seriesColour(series),
        stroke: "var(--back)",
      }),
      Plot.text(rows, {
        y: (_, row) => y(row) - (isNarrow ? 14 : 0),
        text: ({ label }) => shortened(label, most),
        frameAnchor: "left",
        textAnchor: "start",
        dx: isNarrow ? 0 : -marginLeft + 4,
        fill: "currentColor",
      }),
      Plot.axisX(ticks, {
        text: (value: number) => String(value),
        label: isLog ? `${unit}, logarithmic scale` : unit,
        labelAnchor: "right",
        labelArrow: "none",
        color: MUTED,
      }),
    ],
  });
}

/** A cost against whole numbers from the largest to the smallest; one of the points may be another's. */
export function costLine(
  points: readonly { readonly left: number; readonly cost: number }[],
  { across, chosen, canvas, label }: {
    /** What is counted. */
    readonly across: string;
    readonly chosen: { readonly left: number; readonly cost: number } | null;
    readonly canvas: Canvas;
    readonly label: (cost: number) => string;
  },
): string {
  const { width, isNarrow } = canvas;
  const costs = [...points, ...chosen === null ? [] : [chosen]].map(({ cost }) => cost);
  const [low, high] = rangeOf(costs).range;
  const lefts = points.map(({ left }) => left);
  const [most, least] = [Math.max(...lefts), Math.min(...lefts)];
  const ticks = linearTicks([low, high], isNarrow ? 5 : 7);
  return drawn({
    width,
    height: isNarrow ? 220 : 280,
    marginLeft: 66,
    marginRight: 20,
    marginTop: 14,
    marginBottom: 40,
    x: { domain: [most + 0.5, least - 0.5] },
    y: { domain: [low, high] },
    symbol: { type: "identity" } as never,
    marks: [
      Plot.gridY({ ticks, ...GRID }),
      Plot.line(points, { x: "left", y: "cost", stroke: seriesColour(0), strokeWidth: 2 }),
      Plot.dot(points, { x: "left", y: "cost", r: 3.5, fill: seriesColour(0), symbol: () => SYMBOLS[0] }),
      Plot.dot(chosen === null ? [] : [chosen], {
        x: "left",
        y: "cost",
        r: 6,
        fill: seriesColour(1),
        stroke: "var(--back)",
        symbol: () => SYMBOLS[1],
      }),
      Plot.axisY(ticks, { text: label, label: null, color: MUTED, tickSize: 0 }),
      Plot.axisX({
        ticks: lefts.filter((left) => (most - left) % Math.ceil(lefts.length / (isNarrow ? 7 : 14)) === 0),
        tickFormat: (left: number) => String(left),
        label: across,
        labelAnchor: "right",
        labelArrow: "none",
        color: MUTED,
      }),
    ],
  });
}
