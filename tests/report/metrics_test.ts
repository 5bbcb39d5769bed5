/** The table of metrics, and what is written elsewhere of them. */
import assert from "node:assert/strict";
import {
  changeText,
  COUNTED,
  countedOf,
  figureText,
  followed,
  METRICS,
  rowOf,
  SELECTIONS,
  selectionsText,
} from "../../src/report/metrics.ts";
import { StructureSchema } from "../../src/regress/manifest.ts";
import { STRUCTURE } from "../regress/support.ts";

Deno.test("README's table of metrics has each, in order, beside those that are judged alike", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const [, , ...rows] = readme.match(/^\| metric .*\n(?:\|.*\n)+/m)![0].trimEnd().split("\n");
  const named = rows.map((row) => row.split("|")[1]!.split(",").map((name) => name.trim()));
  assert.deepEqual(named, [...Map.groupBy(METRICS, (metric) => rowOf(metric).judged).values()]);
});

Deno.test("--only takes every metric and every group, and its help names both", () => {
  const words = selectionsText().match(/[\w-]+/g)!.filter((word) => word !== "or");
  assert.deepEqual(words.toSorted(), [...SELECTIONS.keys()].toSorted());
  assert.deepEqual(SELECTIONS.get("latency"), ["latency p50", "latency p95", "latency p99"]);
});

Deno.test("a baseline's schema asks for the counts of the table, and lets a plan's and later ones be absent", () => {
  for (const { key, ofPlan, isRare = false } of COUNTED.map(countedOf)) {
    const { [key]: _, ...without } = STRUCTURE;
    assert.equal(StructureSchema.safeParse(without).success, isRare, key);
    assert.equal(StructureSchema.safeParse({ ...STRUCTURE, [key]: null }).success, ofPlan || isRare, key);
  }
});

Deno.test("figures and changes are written by their unit", () => {
  assert.deepEqual(METRICS.map((name) => figureText(rowOf(name).unit, 1234)), [
    "1234 ms",
    "1234 ms",
    "1234 ms",
    "1234 calls/s",
    "1234 ms",
    "1.23 kB",
    "1.23 kB",
    "1234",
    "1234",
    "1234",
    "1234",
    "1234",
    "1234.00 %",
    "1.2e+3",
    "1.2e+3",
  ]);
  const change = (unit: string) => changeText(unit, { stored: 4, current: 5 });
  assert.deepEqual(["ms", "bytes", "", "%", "relative"].map(change), [
    "+25.0 %",
    "+25.0 %",
    "+1",
    "+1.00 points",
    "",
  ]);
  assert.equal(changeText("", { stored: 5, current: 4 }), "-1");
});

Deno.test("a history follows ratios of times, and figures without noise", () => {
  assert.deepEqual(METRICS.filter((name) => followed(name) === undefined), [
    "build time",
    "parity",
    "quantization error",
  ]);
  assert.equal(followed("throughput"), "ratio");
  assert.equal(followed("nodes"), "figure");
});
