import assert from "node:assert/strict";
import { figuresOf, passGroups, passLines } from "../../src/report/passes.ts";
import { type Report, ReportSchema } from "../../src/report/report.ts";
import { summarize } from "../../src/report/summary.ts";
import { sampleBuild } from "./html/sample_build.ts";

const fold = {
  pipeline: "fold",
  pass: "foldNorm",
  law: "linear(s x + t; W, b) = linear(x; W diag(s), b + W t)",
  figures: { found: 5, folded: 5, partly: 0 },
  nodesBefore: 90,
  nodesAfter: 75,
  ms: 1.234,
};
const idle = { ...fold, pipeline: "common", pass: "simplify", figures: {}, nodesBefore: 75, ms: 12 };
/** Of a report before laws and figures were told. */
const old = { pass: "mergeQkv", nodesBefore: 75, nodesAfter: 70, detail: "3 products merged away" };

Deno.test("passLines() has the law of each pass that did something, and 80 columns", () => {
  assert.deepEqual(passLines([fold, idle]), [
    "  fold foldNorm    90 -> 75   1.2 ms  5 found, 5 folded",
    "      linear(s x + t; W, b) = linear(x; W diag(s), b + W t)",
    "  common simplify  75 -> 75  12.0 ms  nothing to do",
  ]);
  const rules = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`rule-of-many-${i}`, i + 1]));
  const lines = passLines([{ ...fold, figures: rules, law: "f(g(x)) = g(f(x)), ".repeat(9) }]);
  assert.ok(lines.length > 3 && lines.every((line) => line.length <= 80), lines.join("\n"));
});

Deno.test("figuresOf() says what reports of before said", () => {
  assert.equal(figuresOf(old), "3 products merged away");
  assert.deepEqual(passLines([old]), ["  mergeQkv  75 -> 70  3 products merged away"]);
});

Deno.test("passGroups() tells the network's passes, each engine's and int8's apart", () => {
  const engine = (path: string | null) => ({ path, passes: [idle] });
  const groups = passGroups(
    { passes: [fold], engines: { un: engine("un.plan"), ln: engine(null) }, int8: null } as unknown as Report,
  );
  assert.deepEqual(groups.map(({ title, passes }) => [title, passes.length]), [
    ["the network that is folded", 1],
    ["un.plan and un.onnx", 1],
    ["ln.onnx", 1],
  ]);
});

Deno.test("ReportSchema takes passes as they are told now and as they were", () => {
  const { report } = sampleBuild();
  const passes = [fold, old];
  assert.deepEqual(ReportSchema.parse({ ...report, passes }).passes, passes);
});

Deno.test("summarize() lists passes where they are asked for, and stays short where not", () => {
  const { report } = sampleBuild();
  const told = { ...report, passes: [fold], engines: { un: { ...report.engines.un!, passes: [idle] } } };
  const [short, long] = [false, true].map((verbose) =>
    summarize(told, { out: "build/tiny", style: (text) => text, verbose })
  );
  assert.ok(!short!.includes("foldNorm"));
  assert.match(long!, /\nPasses of the network that is folded\n {2}fold foldNorm .*\n {6}linear\(s x \+ t/);
  assert.match(long!, /\nPasses of un\.plan and un\.onnx\n {2}common simplify/);
});
