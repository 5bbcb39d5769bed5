/** A history of runs as a line of points with its change points. Plain data in, SVG out. */
import { percentile } from "../../run/statistics.ts";
import { type Canvas, shortened } from "./parts.ts";
import { linearTicks, logTicks, rangeOf } from "./scales.ts";
import { drawn, GRID, MUTED, Plot, seriesColour } from "./svg.ts";

/** A run of a history. */
export interface HistoryPoint {
  /** Short; null outside of a repository. */
  readonly commit: string | null;
  readonly date: string;
  /** Of more than the commit: drawn hollow. */
  readonly isDirty: boolean;
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
}

/** Where a history changes its level. */
export interface HistoryChange {
  /** The first point of the new level. */
  readonly index: number;
  readonly label: string;
  readonly isWorse: boolean;
}

/** A history of runs with its change points. */
export function timeline(
  { points, changes, unit }: {
    points: readonly HistoryPoint[];
    changes: readonly HistoryChange[];
    unit: string;
  },
  { width, isNarrow }: Canvas,
): string {
  const data = points.map((point, index) => ({ index, ...point }));
  const { range, isLog } = rangeOf(
    points.flatMap(({ value, low = value, high = value }) => [value, low, high]),
  );
  const room = isNarrow ? 3 : 8;
  const every = Math.max(1, Math.ceil(points.length / room));
  const starts = [0, ...changes.map(({ index }) => index)];
  // The level of each stretch, as the median of its points.
  const levels = starts.map((start, i) => {
    const end = starts[i + 1] ?? points.length;
    return {
      start: start - 0.4,
      end: end - 0.6,
      level: percentile(points.slice(start, end).map(({ value }) => value), 50),
    };
  });
  const colourOf = ({ isWorse }: HistoryChange) => isWorse ? "var(--bad)" : "var(--good)";
  const count = isNarrow ? 5 : 6;
  const ticks = isLog ? logTicks(range, count) : linearTicks(range, count);
  return drawn({
    width,
    height: isNarrow ? 230 : 270,
    marginLeft: 52,
    marginRight: 16,
    marginTop: changes.length > 1 ? 40 : 24,
    marginBottom: 48,
    x: { domain: [-0.6, points.length - 0.4] },
    y: { domain: [...range], type: isLog ? "log" : "linear" },
    marks: [
      Plot.gridY({ ticks, ...GRID }),
      Plot.ruleX(changes, {
        x: ({ index }) => index - 0.5,
        stroke: colourOf,
        strokeDasharray: "4 3",
        strokeWidth: 1.5,
      }),
      // Neighbours' labels stand at two heights, and none leaves the picture.
      ...changes.map((change, i) =>
        Plot.text([change], {
          x: ({ index }) => index - 0.5,
          text: ({ label }: HistoryChange) => shortened(label, isNarrow ? 36 : 60),
          frameAnchor: "top",
          dy: i % 2 === 0 ? -14 : -30,
          fill: colourOf,
          textAnchor: change.index < points.length / 5
            ? "start"
            : change.index > 0.8 * points.length
            ? "end"
            : "middle",
        })
      ),
      Plot.link(levels, {
        x1: "start",
        x2: "end",
        y1: "level",
        y2: "level",
        stroke: seriesColour(0),
        strokeWidth: 6,
        strokeOpacity: 0.25,
      }),
      Plot.ruleX(data.filter(({ low }) => low !== undefined), {
        x: "index",
        y1: "low",
        y2: "high",
        stroke: seriesColour(0),
        strokeWidth: 1.5,
      }),
      Plot.dot(data, {
        x: "index",
        y: "value",
        r: 3.5,
        fill: ({ isDirty }) => isDirty ? "var(--back)" : seriesColour(0),
        stroke: ({ isDirty }) => isDirty ? seriesColour(0) : "var(--back)",
        strokeWidth: 1.75,
      }),
      Plot.axisY(ticks, {
        text: (value: number) => String(value),
        label: unit,
        labelArrow: "none",
        color: MUTED,
        tickSize: 0,
      }),
      Plot.axisX(data.filter(({ index }) => index % every === 0).map(({ index }) => index), {
        text: (index: number) => labelOf(points[index]!),
        label: null,
        color: MUTED,
      }),
    ],
  });
}

/** The commit over the day; the day alone outside of a repository. */
function labelOf({ commit, date, isDirty }: HistoryPoint): string {
  return commit === null ? date : `${commit}${isDirty ? "*" : ""}\n${date}`;
}
