/**
 * Ratios as dots on lines, one row each, with their 95 % intervals: a table of comparisons at a glance. Plain
 * data in, SVG out. Rounds of one comparison are `plots.ts`.
 */
import { type Canvas, percentOf, shortened } from "./parts.ts";
import { type Range, ratioLabel, ratioTicks } from "./scales.ts";
import { drawn, GRID, MUTED, ONE, Plot, seriesColour } from "./svg.ts";

/** One ratio with its interval; `series` chooses colour and symbol. */
export interface IntervalRow {
  readonly label: string;
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  /** Of the baseline against itself; drawn as a grey band. */
  readonly noiseLow?: number;
  readonly noiseHigh?: number;
  readonly series: number;
  /** Rows of a group stand together under its name. */
  readonly group?: string;
}

export const SYMBOLS = ["circle", "square", "diamond", "triangle", "star", "cross"] as const;

/** Ratios as dots on lines, one row each: whole tables of comparisons at a glance. */
export function intervals(rows: readonly IntervalRow[], { width, isNarrow }: Canvas): string {
  const ends = rows.flatMap((
    { ratio, low, high, noiseLow = 1, noiseHigh = 1 },
  ) => [ratio, low, high, noiseLow, noiseHigh]);
  // Beyond a third and three times, a line leaves the picture; the table has the number.
  const range: Range = [
    Math.max(1 / 3, Math.min(...ends, 0.97)) / 1.01,
    Math.min(3, Math.max(...ends, 1.03)) * 1.01,
  ];
  const within = (ratio: number) => Math.min(range[1], Math.max(range[0], ratio));
  const cut = rows.some(({ low, high }) => low < range[0] || high > range[1]);
  const rowHeight = isNarrow ? 38 : 26;
  let height = 4;
  let group: string | undefined;
  const headings: { label: string; y: number }[] = [];
  const placed = rows.map((row) => {
    if (row.group !== undefined && row.group !== group) {
      group = row.group;
      headings.push({ label: group, y: height + 14 });
      height += 26;
    }
    height += rowHeight;
    return { ...row, y: height - rowHeight / (isNarrow ? 3.5 : 2) };
  });
  const most = isNarrow ? 36 : 42;
  const longest = Math.min(most, Math.max(...rows.map(({ label }) => label.length)));
  const labelOf = ({ label }: { label: string }) => shortened(label, most);
  const marginLeft = isNarrow ? 20 : Math.min(300, 24 + longest * 6.8);
  const marginRight = isNarrow ? 22 : 190;
  const ticks = ratioTicks(range, isNarrow ? 5 : 7);
  const value = ({ ratio, low, high }: IntervalRow) =>
    `${percentOf(ratio)}  [${percentOf(low).replace("\u00a0%", "")}, ${percentOf(high)}]`;
  const text = (options: Plot.TextOptions) => ({ fill: "currentColor", ...options });
  const arrow = (sign: string, x: number) => ({
    x,
    y: "y",
    text: () => sign,
    fill: ({ series }: IntervalRow) => seriesColour(series),
  });
  return drawn({
    width,
    height: height + 44,
    marginLeft,
    marginRight,
    marginTop: 0,
    marginBottom: 40,
    x: { domain: [...range], type: "log" },
    y: { domain: [height, 0], axis: null },
    symbol: { type: "identity" } as never,
    marks: [
      Plot.gridX({ ticks, ...GRID }),
      Plot.rect(placed.filter(({ noiseLow }) => noiseLow !== undefined), {
        x1: ({ noiseLow }) => within(noiseLow!),
        x2: ({ noiseHigh }) => within(noiseHigh ?? 1),
        y1: ({ y }) => y - 9,
        y2: ({ y }) => y + 9,
        fill: "var(--band)",
      }),
      Plot.ruleX([1], { ...ONE }),
      Plot.link(placed, {
        x1: ({ low }) => within(low),
        x2: ({ high }) => within(high),
        y1: "y",
        y2: "y",
        stroke: ({ series }) => seriesColour(series),
        strokeWidth: 2.5,
      }),
      // A line that goes on beyond the picture ends in an arrow.
      ...(cut
        ? [
          Plot.text(placed.filter(({ low }) => low < range[0]), arrow("\u25c0", range[0])),
          Plot.text(placed.filter(({ high }) => high > range[1]), arrow("\u25b6", range[1])),
        ]
        : []),
      Plot.dot(placed, {
        x: ({ ratio }) => within(ratio),
        y: "y",
        r: 5,
        symbol: ({ series }: IntervalRow) => SYMBOLS[series % SYMBOLS.length],
        fill: ({ series }) => seriesColour(series),
        stroke: "var(--back)",
      }),
      Plot.text(
        headings,
        text({
          y: "y",
          text: labelOf,
          frameAnchor: "left",
          textAnchor: "start",
          fontWeight: 600,
          dx: -marginLeft,
        }),
      ),
      Plot.text(
        placed,
        text(
          isNarrow
            ? {
              y: ({ y }) => y - 17,
              text: labelOf,
              frameAnchor: "left",
              textAnchor: "start",
              dx: -marginLeft,
            }
            : { y: "y", text: labelOf, frameAnchor: "left", textAnchor: "end", dx: -12 },
        ),
      ),
      Plot.text(
        placed,
        text(
          isNarrow
            ? {
              y: ({ y }) => y - 17,
              text: ({ ratio }) => percentOf(ratio),
              frameAnchor: "right",
              textAnchor: "end",
            }
            : { y: "y", text: value, frameAnchor: "right", textAnchor: "start", dx: 12, fill: MUTED },
        ),
      ),
      Plot.axisX(ticks, {
        text: ratioLabel,
        label: "\u2190 less time \u00a0 more time \u2192",
        labelAnchor: "center",
        labelArrow: "none",
        color: MUTED,
      }),
    ],
  });
}
