/** The plots as SVG text: what must be in them, and the numbers behind their axes. */
import assert from "node:assert/strict";
import { distributions, intervals, roundRatios, timeline } from "../../../src/report/html/mod.ts";
import {
  linearTicks,
  logTicks,
  rangeOf,
  ratioLabel,
  ratioRange,
  ratioTicks,
} from "../../../src/report/html/scales.ts";
import { Random } from "../../support.ts";

const WIDE = { width: 864, isNarrow: false };
const NARROW = { width: 328, isNarrow: true };
const count = (text: string, tag: string) => text.split(`<${tag}`).length - 1;

Deno.test("rangeOf() leaves room, and asks for logarithms where one end would hide the other", () => {
  const { range: [low, high], isLog } = rangeOf([1, 2]);
  assert.ok(low < 1 && low > 0.9 && high > 2 && high < 2.1 && !isLog);
  assert.ok(rangeOf([1, 40]).isLog);
  const same = rangeOf([3, 3]).range;
  assert.ok(same[0] < 3 && same[1] > 3);
});

Deno.test("ticks are round, in the range and no more than asked for", () => {
  assert.deepEqual(linearTicks([1.09, 1.72], 9), [1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]);
  assert.deepEqual(logTicks([0.6, 110], 9), [1, 2, 5, 10, 20, 50, 100]);
  assert.deepEqual(logTicks([1.1, 3.2], 6), [1.5, 2, 3]);
  assert.deepEqual(ratioTicks([0.88, 1.02], 8).map(ratioLabel), [
    "\u221212 %",
    "\u221210 %",
    "\u22128 %",
    "\u22126 %",
    "\u22124 %",
    "\u22122 %",
    "0 %",
    "+2 %",
  ]);
  assert.deepEqual(ratioTicks([0.1, 12], 8).map(ratioLabel), [
    "\u221290 %",
    "\u221280 %",
    "\u221250 %",
    "0 %",
    "+100 %",
    "+400 %",
    "+900 %",
  ]);
  assert.equal(ratioLabel(0.995), "\u22120.5 %");
});

Deno.test("ratioRange() shows the interval and the noise whole, and no single far round", () => {
  const [low, high] = ratioRange([...Array.from({ length: 98 }, () => 0.95), 0.01, 30], [0.93, 1.04]);
  assert.ok(low < 0.93 && low > 0.9 && high > 1.04 && high < 1.2);
});

Deno.test("distributions() draws each contender with its percentiles, in a bounded number of marks", () => {
  const random = new Random(1);
  const samplesMs = Array.from({ length: 20_000 }, () => Math.exp(0.5 * random.normal()));
  for (const canvas of [WIDE, NARROW]) {
    const svg = distributions(
      [{ label: "UN", series: 0, samplesMs }, { label: "LN", series: 1, samplesMs }],
      canvas,
    );
    assert.match(svg, /^<svg [^>]*width="\d+"/);
    for (const text of ["UN", "LN", "50", "99"]) {
      assert.ok(svg.includes(`>${text}<`), text);
    }
    assert.ok(/>median (1\.0|0\.9)\d+\sms, 20000 samples</.test(svg), "no median");
    assert.ok(count(svg, "line") < 2.5 * canvas.width, `${count(svg, "line")} lines`);
  }
});

Deno.test("roundRatios() draws rounds as dots and those beyond the picture at its edge", () => {
  const ratios = [...Array.from({ length: 60 }, (_, i) => 0.95 + 0.0005 * (i % 10)), 9];
  const svg = roundRatios(
    { ratios, median: 0.95, low: 0.94, high: 0.96, noiseLow: 0.99, noiseHigh: 1.01 },
    WIDE,
  );
  assert.equal(count(svg, "circle"), 60);
  assert.ok(svg.includes('fill="var(--series-1)"'), "no mark at the edge");
});

Deno.test("intervals() gives rows their numbers, groups their names, and cut lines an arrow", () => {
  const rows = [
    {
      label: "a",
      group: "first",
      ratio: 0.9,
      low: 0.88,
      high: 0.92,
      noiseLow: 0.99,
      noiseHigh: 1.01,
      series: 0,
    },
    { label: "b", group: "first", ratio: 1.5, low: 0.7, high: 12, series: 1 },
  ];
  const svg = intervals(rows, WIDE);
  assert.match(svg, />first</);
  assert.match(svg, />\u221210\.0\s% {2}\[\u221212\.0, \u22128\.0\s%\]</);
  assert.equal(svg.split("\u25b6").length - 1, 1);
  assert.equal(intervals(rows.slice(0, 1), WIDE).split("\u25b6").length - 1, 0);
});

Deno.test("timeline() marks where the level changes", () => {
  const points = Array.from(
    { length: 20 },
    (_, i) => ({
      commit: i === 0 ? null : `c${i}`,
      date: "2026-01-02",
      isDirty: i === 5,
      value: i < 12 ? 1 : 1.2,
      low: 0.9,
      high: 1.3,
    }),
  );
  const svg = timeline(
    { points, changes: [{ index: 12, label: "c12: slower", isWorse: true }], unit: "ms" },
    NARROW,
  );
  assert.equal(count(svg, "circle"), 20);
  assert.match(svg, />c12: slower</);
  assert.match(svg, />2026-01-02</);
  assert.equal(
    svg.match(/<circle[^>]* fill="var\(--back\)"/g)?.length,
    1,
    "the one of more than its commit is hollow",
  );
});

Deno.test("plots keep texts from becoming markup", () => {
  const label = '<script>"&';
  const svg = intervals([{ label, group: label, ratio: 1, low: 1, high: 1, series: 0 }], WIDE);
  assert.ok(!svg.includes("<script") && svg.includes("&lt;script&gt;"));
});
