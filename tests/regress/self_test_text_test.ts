import assert from "node:assert/strict";
import { metric } from "../../src/regress/metrics.ts";
import type { SelfTest, SelfTestRun } from "../../src/regress/self_test.ts";
import { selfTestText, shown } from "../../src/regress/self_test_text.ts";

const run = (planted: SelfTestRun["planted"], verdict: "same" | "slower" | "cannot tell"): SelfTestRun => ({
  planted,
  latency: metric("latency p50", {
    verdict,
    ratio: { median: 1.1, low: 1.08, high: 1.13 },
    noise: { low: 0.97, high: 1.03 },
  }),
  nodes: metric("nodes", { verdict: planted === "one more node" ? "worse" : "same" }),
  durationMs: 6100,
});

const testOf = (undecided: number): SelfTest => ({
  runs: [
    ...Array.from({ length: 20 }, (_, i) => run("nothing", i < undecided ? "cannot tell" : "same")),
    run("10 % more work", "slower"),
    run("one more node", "same"),
  ],
  falseAlarms: 0,
  undecided,
  foundSlowdown: true,
  foundNode: true,
  passed: true,
});

Deno.test("shown() says what a self-test showed, and no more", () => {
  assert.equal(
    shown(testOf(0)),
    "Shown here: no false alarm in 20 runs of a network against itself; 10 % more work is found, as +10.0 % (+8.0 % to " +
      "+13.0 %), in 6.1 s; one more node is found, by structure alone.",
  );
  assert.match(
    shown(testOf(19)),
    /itself, of which 1 were told to be the same and 19 could not be told in up to 6\.1 s; .* need a quieter machine/,
  );
});

Deno.test("selfTestText() fits 80 columns", () => {
  const lines = selfTestText(testOf(19), (text) => text).split("\n");
  assert.deepEqual(lines.filter((line) => line.length > 80), []);
  assert.match(lines[1]!, /^ 1 +nothing +\+10\.0 % +\+8\.0 % +\+13\.0 % +3\.0 % +6\.1 s +cannot tell +same$/);
});
