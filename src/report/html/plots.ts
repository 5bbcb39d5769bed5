/**
 * The plots of measurements: plain data in, SVG out, nothing kept. Drawn by Observable Plot at a given width,
 * for a phone and for a page alike; what a colour says is also said by a label or a symbol. Here is one
 * comparison: times and their ratios; tables of them are `intervals.ts`, histories `timeline.ts`, kernels
 * `schedule.ts`.
 */
import { percentile } from "../../run/statistics.ts";
import { type Canvas, milliseconds, shortened } from "./parts.ts";
import { linearTicks, logTicks, rangeOf, ratioLabel, ratioRange, ratioTicks } from "./scales.ts";
import { drawn, GRID, MUTED, ONE, Plot, seriesColour } from "./svg.ts";

/** A contender's samples; `series` chooses its colour. */
export interface Samples {
  readonly label: string;
  readonly series: number;
  readonly samplesMs: readonly number[];
}

const PERCENTILES = [50, 90, 95, 99] as const;
/** Which of them keep their label where they are too close: the more telling ones. */
const BY_WEIGHT = [50, 99, 95, 90] as const;

/** About as wide as a bold letter of 12 px. */
const LETTER = 7.2;

/** How samples are distributed: a panel each, a histogram over a tick per sample, percentiles below. */
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
    const whole = `median ${milliseconds(percentile(samplesMs, 50))}, ${samplesMs.length} samples`;
    // Where both have no room side by side, the number of samples gives way.
    const isTight = (label.length + whole.length) * LETTER > width - 24;
    const said = isTight ? milliseconds(percentile(samplesMs, 50)) : whole;
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
        text: (text: string) => shortened(text, (width - 24) / LETTER - said.length),
        textAnchor: "start",
        fontWeight: 600,
        fill: "currentColor",
      }),
      Plot.text([said], {
        x: range[1],
        y: top + 9,
        text: (text: string) => text,
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

/** One value per pixel, which bounds a drawing's size, however many samples there are. */
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

/** Every round's ratio in order, with the median's interval and the noise band; far ones at the edge. */
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
    marginLeft: 66,
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
