/**
 * The plots of measurements: plain data in, SVG out, nothing kept. Drawn by Observable Plot at a given width, for a phone
 * and for a page alike; what a colour says is also said by a label or a symbol. Kernel schedules are `schedule.ts`.
 */
import { percentile } from "../../run/statistics.ts";
import { type Canvas, milliseconds, percentOf, shortened } from "./parts.ts";
import { linearTicks, logTicks, type Range, rangeOf, ratioLabel, ratioRange, ratioTicks } from "./scales.ts";
import { drawn, Plot, seriesColour } from "./svg.ts";

const MUTED = "var(--muted)";
const GRID = { stroke: "var(--grid)", strokeOpacity: 1 } as const;
/** The baseline, no change: drawn over grids and under data. */
const ONE = { stroke: "var(--muted)", strokeWidth: 1 } as const;

/** A contender's samples; `series` chooses its colour. */
export interface Samples {
  readonly label: string;
  readonly series: number;
  readonly samplesMs: readonly number[];
}

const PERCENTILES = [50, 90, 95, 99] as const;
/** Which of them keep their label where they are too close: the more telling ones. */
const BY_WEIGHT = [50, 99, 95, 90] as const;

/** How samples are distributed: one panel each, a histogram over a tick per sample, percentiles marked under it. */
export function distributions(contenders: readonly Samples[], { width, isNarrow }: Canvas): string {
  const panel = { label: 20, bars: 46, ticks: 12, marks: 20, gap: 14 };
  const height = panel.label + panel.bars + panel.ticks + panel.marks + panel.gap;
  const margin = { left: 8, right: 16, top: 0, bottom: 40 };
  const { range, isLog } = rangeOf(contenders.flatMap(({ samplesMs }) => samplesMs));
  const place = (ms: number) => {
    const [low, high] = range;
    const share = isLog ? Math.log(ms / low) / Math.log(high / low) : (ms - low) / (high - low);
    return margin.left + share * (width - margin.left - margin.right);
  };
  const value = (pixel: number) => {
    const share = (pixel - margin.left) / (width - margin.left - margin.right);
    return isLog ? range[0] * (range[1] / range[0]) ** share : range[0] + share * (range[1] - range[0]);
  };
  const step = isNarrow ? 8 : 12;
  const marks = contenders.flatMap(({ label, series, samplesMs }, i) => {
    const top = i * height;
    const bars = top + panel.label + panel.bars;
    const colour = seriesColour(series);
    const bins = Map.groupBy(samplesMs, (ms) => Math.floor((place(ms) - margin.left) / step));
    const most = Math.max(...[...bins.values()].map(({ length }) => length));
    const found = PERCENTILES.map((percent) => ({ percent, ms: percentile(samplesMs, percent) }));
    const labelled: typeof found = [];
    for (const percent of BY_WEIGHT) {
      const mark = found.find((one) => one.percent === percent)!;
      if (labelled.every(({ ms }) => Math.abs(place(ms) - place(mark.ms)) > 20)) labelled.push(mark);
    }
    return [
      Plot.rect([...bins], {
        x1: ([bin]) => value(margin.left + bin * step + 0.5),
        x2: ([bin]) => value(margin.left + (bin + 1) * step - 0.5),
        y1: bars,
        y2: ([, { length }]) => bars - Math.max(1.5, panel.bars * length / most),
        fill: colour,
        fillOpacity: 0.55,
      }),
      Plot.ruleX(oncePerPixel(samplesMs, place), {
        x: (ms) => ms,
        y1: bars + 2,
        y2: bars + panel.ticks - 2,
        stroke: colour,
        strokeOpacity: 0.7,
      }),
      Plot.ruleX(found, {
        x: "ms",
        y1: ({ percent }) => percent === 50 ? bars - panel.bars : bars,
        y2: bars + panel.ticks + 3,
        stroke: "currentColor",
        strokeWidth: ({ percent }) => percent === 50 ? 2 : 1.25,
      }),
      Plot.text(labelled, {
        x: "ms",
        y: bars + panel.ticks + 12,
        text: ({ percent }) => String(percent),
        fill: MUTED,
        fontSize: 11,
      }),
      Plot.text([label], {
        x: range[0],
        y: top + 9,
        text: (text: string) => text,
        textAnchor: "start",
        fontWeight: 600,
        fill: "currentColor",
      }),
      Plot.text([samplesMs], {
        x: range[1],
        y: top + 9,
        text: (samples: readonly number[]) =>
          `median ${milliseconds(percentile(samples, 50))}, ${samples.length} samples`,
        textAnchor: "end",
        fill: MUTED,
      }),
    ];
  });
  const total = contenders.length * height;
  const count = isNarrow ? 5 : 9;
  const ticks = isLog ? logTicks(range, count) : linearTicks(range, count);
  return drawn({
    width,
    height: total + margin.bottom,
    marginLeft: margin.left,
    marginRight: margin.right,
    marginTop: margin.top,
    marginBottom: margin.bottom,
    x: { domain: [...range], type: isLog ? "log" : "linear" },
    y: { domain: [total, 0], axis: null },
    marks: [
      Plot.gridX({ ticks, ...GRID }),
      Plot.axisX(ticks, {
        text: (ms: number) => String(ms),
        label: isLog ? "milliseconds per call, logarithmic scale" : "milliseconds per call",
        labelAnchor: "right",
        labelArrow: "none",
        color: MUTED,
      }),
      ...marks,
    ],
  });
}

/** One of all values that a pixel cannot tell apart: a drawing's size is bounded, whatever the number of samples. */
function oncePerPixel(values: readonly number[], place: (value: number) => number): number[] {
  return [...new Map(values.map((value) => [Math.round(place(value)), value])).values()];
}

/** Paired ratios, what was made of them, and the noise beside them. */
export interface Ratios {
  readonly ratios: readonly number[];
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly noiseLow: number;
  readonly noiseHigh: number;
}

/** More dots than this are not seen, and would only make the page large. */
export const MOST_DOTS = 800;

/** The ratio of every round in order, with the median's interval and the noise band across; far ones at the edge. */
export function roundRatios(data: Ratios, { width, isNarrow }: Canvas): string {
  const { ratios, median, low, high, noiseLow, noiseHigh } = data;
  const range = ratioRange(ratios, [low, high, noiseLow, noiseHigh]);
  const [bottom, top] = range;
  const all = ratios.map((ratio, i) => ({ round: i + 1, ratio }));
  const dots = all.length <= MOST_DOTS
    ? all
    : Array.from({ length: MOST_DOTS }, (_, i) => all[Math.floor(i * all.length / MOST_DOTS)]!);
  const inside = dots.filter(({ ratio }) => ratio >= bottom && ratio <= top);
  const edge = dots.filter(({ ratio }) => ratio < bottom || ratio > top)
    .map(({ round, ratio }) => ({
      round,
      at: ratio > top ? top : bottom,
      symbol: ratio > top ? "triangle" : "triangle2",
    }));
  const last = ratios.length + 1;
  const ticks = ratioTicks(range, isNarrow ? 6 : 8);
  const across = (y1: number, y2: number, fill: string) => Plot.rect([0], { x1: 0, x2: last, y1, y2, fill });
  return drawn({
    width,
    height: isNarrow ? 240 : 280,
    marginLeft: 58,
    marginRight: 12,
    marginTop: 14,
    marginBottom: 40,
    x: { domain: [0, last] },
    y: { domain: [bottom, top], type: "log" },
    symbol: { type: "identity" } as never,
    marks: [
      Plot.gridY({ ticks, ...GRID }),
      across(noiseLow, noiseHigh, "var(--band)"),
      across(low, high, "var(--interval)"),
      Plot.ruleY([1], { x1: 0, x2: last, ...ONE, strokeDasharray: "4 3" }),
      Plot.dot(inside, {
        x: "round",
        y: "ratio",
        r: isNarrow ? 1.7 : 2.2,
        fill: seriesColour(0),
        fillOpacity: 0.75,
      }),
      Plot.dot(edge, { x: "round", y: "at", symbol: "symbol", r: 3, fill: seriesColour(1) }),
      Plot.ruleY([median], { x1: 0, x2: last, stroke: seriesColour(0), strokeWidth: 2 }),
      Plot.axisY(ticks, { text: ratioLabel, label: null, color: MUTED, tickSize: 0 }),
      Plot.axisX({
        ticks: isNarrow ? 4 : 8,
        label: "round",
        labelAnchor: "right",
        labelArrow: "none",
        color: MUTED,
        tickFormat: (round: number) => String(round),
      }),
    ],
  });
}

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
    `${percentOf(ratio)}  [${percentOf(low).replace(" %", "")}, ${percentOf(high)}]`;
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
        label: "time against the reference",
        labelAnchor: "center",
        labelArrow: "none",
        color: MUTED,
      }),
    ],
  });
}

/** A run of a history. */
export interface HistoryPoint {
  /** A commit or a date. */
  readonly label: string;
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
}

/** Where a history changes its level. */
export interface HistoryChange {
  /** The first point of the new level. */
  readonly index: number;
  readonly label: string;
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
  const room = isNarrow ? 4 : 10;
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
  const count = isNarrow ? 5 : 6;
  const ticks = isLog ? logTicks(range, count) : linearTicks(range, count);
  return drawn({
    width,
    height: isNarrow ? 230 : 270,
    marginLeft: 52,
    marginRight: 16,
    marginTop: 30,
    marginBottom: 44,
    x: { domain: [-0.6, points.length - 0.4] },
    y: { domain: [...range], type: isLog ? "log" : "linear" },
    marks: [
      Plot.gridY({ ticks, ...GRID }),
      Plot.ruleX(changes, {
        x: ({ index }) => index - 0.5,
        stroke: "var(--bad)",
        strokeDasharray: "4 3",
        strokeWidth: 1.5,
      }),
      Plot.text(changes, {
        x: ({ index }) => index - 0.5,
        text: ({ label }: HistoryChange) => shortened(label, isNarrow ? 36 : 60),
        frameAnchor: "top",
        dy: -14,
        fill: "var(--bad)",
        textAnchor: (({ index }: HistoryChange) => index > points.length / 2 ? "end" : "start") as never,
      }),
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
      Plot.dot(data, { x: "index", y: "value", r: 3.5, fill: seriesColour(0), stroke: "var(--back)" }),
      Plot.axisY(ticks, {
        text: (value: number) => String(value),
        label: unit,
        labelArrow: "none",
        color: MUTED,
        tickSize: 0,
      }),
      Plot.axisX(data.filter(({ index }) => index % every === 0).map(({ index }) => index), {
        text: (index: number) => points[index]!.label.slice(0, 10),
        label: null,
        color: MUTED,
      }),
    ],
  });
}
