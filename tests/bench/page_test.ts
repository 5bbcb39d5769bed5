/** The benchmark's page as text; it is seen in a browser with the other pages, in `report/html`. */
import assert from "node:assert/strict";
import { benchPage } from "../../src/bench/page.ts";
import { BenchReportSchema } from "../../src/bench/schema.ts";
import { sampleBench } from "./sample_bench.ts";

Deno.test("benchPage() shows ratios with intervals, times, parity, structure, and what was left out", () => {
  const text = benchPage(BenchReportSchema.parse(sampleBench()));
  assert.match(text, />\u22129\.0\s% {2}\[\u221210\.0, \u22128\.0\s%\]</);
  assert.match(text, /0\.910<br><span class="muted small">0\.900 to 0\.920<\/span>/);
  assert.match(text, /They do not predict\s+a GPU's times/);
  assert.match(text, /1 of 1 agree|2 of 2 agree/);
  assert.match(text, /<td class="right">35<\/td><td class="right">unknown<br>/);
  assert.match(text, /left out: un\/onnxruntime\/fp16: tiny/);
});

Deno.test("benchPage() without times or without plans leaves their sections out", () => {
  const { cases, structure, ...rest } = sampleBench();
  const [onlyPlans, onlyTimes] = [{ ...rest, cases: [], structure }, { ...rest, cases, structure: null }].map(
    benchPage,
  );
  assert.ok(!onlyPlans!.includes('id="ratios"') && onlyPlans!.includes('id="structure"'));
  assert.ok(onlyTimes!.includes('id="ratios"') && !onlyTimes!.includes('id="structure"'));
});

Deno.test("benchPage() says of a network that has its reference's normalization what it is, and not that it folds", () => {
  const report = sampleBench();
  const families = { own: "ln", reference: "ln" } as const;
  const text = benchPage({ ...report, cases: report.cases.map((one) => ({ ...one, families })) });
  assert.match(text, />LN is Layer Normalization\.</);
});

Deno.test("benchPage() escapes every text of a report", () => {
  const text = benchPage(sampleBench(`"><script>alert(1)</script>`));
  assert.ok(!text.includes("<script") && text.includes("&lt;script&gt;"));
});
