/** What people and test readers see of a run. */
import assert from "node:assert/strict";
import { runJUnit, runMarkdown, runText } from "../../src/report/run_formats.ts";
import { type MetricReport, type RunReport, runVerdict } from "../../src/report/run_report.ts";
import { runOf } from "../regress/support.ts";

function reportOf(changes: Partial<MetricReport>): RunReport {
  const run = runOf({ time: "2026-02-01T00:00:00.000Z", commit: "a".repeat(40), ratio: 1, nodes: 3 });
  const [model] = run.models;
  const [latency, nodes] = model!.metrics;
  const models = [{ ...model!, metrics: [{ ...latency!, ...changes }, nodes!] }];
  return { ...run, models, verdict: runVerdict(models) };
}

const SLOWER = reportOf({
  verdict: "slower",
  current: 1.12,
  ratio: { median: 1.12, low: 1.09, high: 1.15 },
  noise: { low: 1 / 1.02, high: 1.02 },
  reason: 'new: add "x" <y> | z',
});

Deno.test("runText() shows change, interval and noise, and ends with the verdict", () => {
  const text = runText(SLOWER, (text) => text);
  assert.match(
    text,
    /latency p50 +1\.000 ms +1\.120 ms +\+12\.0 % +slower\n +\+9\.0 % to \+15\.0 %; noise 2\.0 %; new: add "x"/,
  );
  assert.match(text, /nodes +2 +3 +\+1 /);
  assert.equal(text.split("\n").at(-1), "worse: latency p50 slower");
});

Deno.test("runText() fits 80 columns, whatever a reason has to say", () => {
  const reason =
    "the stored engine differs from itself by up to 11.2 % here; it takes a quieter machine, or another " +
    "--threshold: the difference is too near to it for the noise here";
  const text = runText(reportOf({ verdict: "cannot tell", reason }), (text) => text);
  assert.deepEqual(text.split("\n").filter((line) => line.length > 80), []);
  assert.ok(text.replaceAll(/\s+/g, " ").includes(reason));
});

Deno.test("runMarkdown() keeps a reason within its cell", () => {
  const row = runMarkdown(SLOWER).split("\n").find((line) => line.startsWith("| latency"))!;
  assert.ok(row.includes("**slower**") && row.includes('new: add "x" <y> \\| z'), row);
});

Deno.test("runJUnit() fails what is worse, skips what could not be judged, and escapes", () => {
  const worse = runJUnit(SLOWER);
  assert.match(worse, /<testsuite name="tiny" tests="2" failures="1" skipped="0"/);
  assert.match(worse, /<failure message="slower: .*new: add &quot;x&quot; &lt;y&gt; \| z"\/>/);
  const open = reportOf({ verdict: "cannot tell", reason: "it takes about 100 rounds" });
  assert.equal(open.verdict, "could not judge");
  assert.match(runJUnit(open), /<skipped message="cannot tell: .*it takes about 100 rounds"\/>/);
});

Deno.test("runVerdict() lets what does not decide open", () => {
  assert.equal(reportOf({ verdict: "cannot tell", decides: false }).verdict, "nothing worse");
  assert.equal(reportOf({ verdict: "refused" }).verdict, "could not judge");
  assert.equal(reportOf({ verdict: "slower", decides: false }).verdict, "worse");
});
