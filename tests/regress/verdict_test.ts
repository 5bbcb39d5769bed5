/**
 * Verdicts on seeded synthetic samples: what a difference must look like to be called one, and how often
 * noise is.
 */
import assert from "node:assert/strict";
import { judgeTimes, judgeUnpaired } from "../../src/regress/verdict.ts";
import type { Load } from "../../src/report/run_report.ts";
import { Random } from "../support.ts";

/**
 * Loadings whose engines are each off by their own luck, `spread`, for as long as they are loaded, with
 * rounds that a busy machine prolongs now and then.
 */
function loadsOf(
  random: Random,
  { ratio, spread, loads = 9, rounds = 20 }: {
    ratio: number;
    spread: number;
    loads?: number;
    rounds?: number;
  },
): Load[] {
  return Array.from({ length: loads }, (_, build) => {
    const engine = (typical: number) => {
      const luck = typical * Math.exp(spread * random.normal());
      return () => luck * Math.exp(0.02 * random.normal()) * (random.uniform() < 0.1 ? 4 : 1);
    };
    const [stored, again, current] = [engine(1), engine(1), engine(ratio)];
    const sample = (time: () => number) => Array.from({ length: rounds }, time);
    return { build, storedMs: sample(stored), againMs: sample(again), buildMs: sample(current) };
  });
}

Deno.test("judgeTimes() calls a difference beyond noise and threshold, in either direction", () => {
  const judge = (ratio: number) =>
    judgeTimes(loadsOf(new Random(1), { ratio, spread: 0.01 }), { threshold: 0.03 });
  assert.equal(judge(1.1).verdict, "slower");
  assert.equal(judge(1 / 1.1).verdict, "faster");
  assert.ok(Math.abs(judge(1.1).ratio.median - 1.1) < 0.02);
});

Deno.test("judgeTimes() calls what lies within the threshold the same", () => {
  const loads = loadsOf(new Random(2), { ratio: 1, spread: 0.002, loads: 13 });
  const { verdict, roundsNeeded, reason } = judgeTimes(loads, { threshold: 0.03 });
  assert.deepEqual({ verdict, roundsNeeded, reason }, { verdict: "same", roundsNeeded: null, reason: null });
});

Deno.test("judgeTimes() cannot tell less than the stored engine differs from itself, and says how many rounds it takes", () => {
  const loads = loadsOf(new Random(3), { ratio: 1.05, spread: 0.08 });
  const { verdict, rounds, roundsNeeded, reason, noise } = judgeTimes(loads, { threshold: 0.03 });
  assert.equal(verdict, "cannot tell");
  assert.ok(noise.high > 1.03 && noise.low === 1 / noise.high);
  assert.ok(roundsNeeded === null || roundsNeeded > rounds);
  assert.match(reason!, /^the stored engine differs from itself by up to \d+\.\d %/);
});

Deno.test("judgeTimes() asks for as many rounds as then do", () => {
  const options = { ratio: 1.08, spread: 0.04 };
  const short = judgeTimes(loadsOf(new Random(5), { ...options, loads: 7 }), { threshold: 0.03 });
  assert.equal(short.verdict, "cannot tell");
  // An estimate from few loadings: twice as many settle it.
  const loads = Math.ceil(2 * short.roundsNeeded! / 20);
  assert.ok(loads > 7 && loads < 200, `${loads} loadings`);
  assert.equal(
    judgeTimes(loadsOf(new Random(6), { ...options, loads }), { threshold: 0.03 }).verdict,
    "slower",
  );
});

Deno.test("judgeTimes() says nothing of fewer than six loadings, however clear they look", () => {
  const loads = loadsOf(new Random(7), { ratio: 2, spread: 0, loads: 5 });
  const { verdict, roundsNeeded } = judgeTimes(loads, { threshold: 0.03 });
  assert.deepEqual({ verdict, roundsNeeded }, { verdict: "cannot tell", roundsNeeded: 120 });
});

Deno.test("judgeTimes() calls at most one in a hundred runs of equal engines different", () => {
  const random = new Random(8);
  let alarms = 0;
  for (let run = 0; run < 300; run++) {
    const loads = loadsOf(random, { ratio: 1, spread: 0.05, rounds: 7 });
    for (const percent of [null, 95] as const) {
      const { verdict } = judgeTimes(loads, { threshold: 0.03, percent });
      if (verdict === "slower" || verdict === "faster") alarms++;
    }
  }
  assert.ok(alarms <= 6, `${alarms} alarms of 600`);
});

Deno.test("judgeTimes() judges tails by themselves", () => {
  const loads = loadsOf(new Random(9), { ratio: 1, spread: 0.002, rounds: 60 }).map((load) => ({
    ...load,
    buildMs: load.buildMs.map((ms) => ms > 2 ? 3 * ms : ms),
  }));
  assert.equal(judgeTimes(loads, { threshold: 0.03 }).verdict, "same");
  assert.equal(judgeTimes(loads, { threshold: 0.03, percent: 95 }).verdict, "slower");
});

Deno.test("judgeUnpaired() needs seven samples on each side, and a rank test below 0.002", () => {
  const seven = [10, 11, 12, 13, 14, 15, 16];
  const judge = (a: readonly number[], b: readonly number[]) => judgeUnpaired(a, b, { threshold: 0.03 });
  assert.equal(judge(seven.map((ms) => 2 * ms), seven).verdict, "slower");
  assert.equal(judge(seven, seven.map((ms) => 2 * ms)).verdict, "faster");
  assert.equal(judge([30, 31, 32], [10, 11, 12]).roundsNeeded, 7);
  assert.equal(judge(seven, seven.map((ms) => ms + 0.5)).verdict, "cannot tell");
});
