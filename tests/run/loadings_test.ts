/** Loadings on a scripted clock, and intervals of seeded luck: how often they hold what is true. */
import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import {
  compareLoadings,
  type Loading,
  loadingNoise,
  loadingRatio,
  medianInterval,
  type Open,
  timeLoadings,
} from "../../src/run/loadings.ts";
import { judge } from "../../src/run/statistics.ts";
import { Random } from "../support.ts";

/** A machine on which each call takes what the script says of its loading. */
class ScriptedMachine {
  timeMs = 0;
  open = 0;
  readonly opened: string[] = [];
  now = () => this.timeMs;
  state = () => ({ cores: 2 });

  contender(name: string, callMs: (index: number) => number): Open {
    return (stack, index) => {
      this.opened.push(name);
      this.open++;
      stack.defer(() => void this.open--);
      const ms = callMs(index);
      return Promise.resolve(() => {
        this.timeMs += ms;
        return Promise.resolve(undefined);
      });
    };
  }
}

const OPTIONS = { minMs: 0, rounds: 3, warmupMs: 0, deadlineMs: Infinity } as const;

Deno.test("timeLoadings() loads everything anew each time, the baseline twice, and each as often first", async () => {
  const machine = new ScriptedMachine();
  const { loadings, clock, warnings } = await timeLoadings({
    ...OPTIONS,
    contenders: { un: machine.contender("un", (i) => 8 + i), ln: machine.contender("ln", (i) => 16 + 2 * i) },
    baseline: "ln",
    firstLook: 6,
    machine,
  });
  assert.equal(machine.open, 0);
  assert.deepEqual([clock, warnings, loadings.length], ["wall", [], 6]);
  assert.deepEqual(loadings[2], { samplesMs: { un: [10, 10, 10], ln: [20, 20, 20] }, againMs: [20, 20, 20] });
  const firsts = machine.opened.filter((_, i) => i % 3 === 0);
  assert.equal(firsts.filter((name) => name === "un").length, 2); // "ln" is two of the three
  const { ratio, noise, rounds, top } = compareLoadings({ loadings }, { top: "un", bottom: "ln" });
  assert.deepEqual([ratio.median, ratio.low, ratio.high, noise, rounds], [
    0.5,
    0.5,
    0.5,
    { low: 1, high: 1 },
    18,
  ]);
  assert.equal(top.medianMs, 10.5);
});

Deno.test("timeLoadings() goes on until it is enough, or late", async () => {
  const machine = new ScriptedMachine();
  const contenders = { a: machine.contender("a", () => 10) };
  const looks: number[] = [];
  const isEnough = (loadings: readonly Loading[]) => looks.push(loadings.length) === 3;
  const common = { ...OPTIONS, contenders, baseline: "a", firstLook: 9, isEnough, machine };
  assert.equal((await timeLoadings(common)).loadings.length, 21);
  assert.deepEqual(looks, [9, 14, 21]);
  assert.equal((await timeLoadings({ ...common, deadlineMs: 0 })).loadings.length, 6);
  await assert.rejects(timeLoadings({ ...common, firstLook: 5 }), UnfoldError);
});

Deno.test("timeLoadings() lets go of what it opened where opening or a signal stops it", async () => {
  const machine = new ScriptedMachine();
  const good = machine.contender("good", () => 1);
  const bad: Open = () => Promise.reject(new UnfoldError("no memory"));
  const common = { ...OPTIONS, baseline: "good", firstLook: 6, machine };
  await assert.rejects(timeLoadings({ ...common, contenders: { good, bad } }), /no memory/);
  const signal = AbortSignal.abort(new Error("stop"));
  await assert.rejects(timeLoadings({ ...common, contenders: { good }, signal }), /stop/);
  assert.equal(machine.open, 0);
});

Deno.test("intervals over loadings hold what is true in 19 of 20 runs; equal networks are called different more seldom", () => {
  const random = new Random(11);
  const truth = 0.88;
  const luck = () => Math.exp(0.03 * random.normal());
  const rounds = (ms: number) => Array.from({ length: 8 }, () => ms * Math.exp(0.02 * random.normal()));
  const run = (ratio: number) => {
    const loadings = Array.from({ length: 12 }, () => ({
      topMs: rounds(ratio * luck()),
      bottomMs: rounds(luck()),
      againMs: rounds(luck()),
    }));
    const noise = loadingNoise(loadings.map(({ bottomMs, againMs }) => ({ firstMs: bottomMs, againMs })));
    return { interval: loadingRatio(loadings), noise };
  };
  let [held, alarms] = [0, 0];
  for (let i = 0; i < 400; i++) {
    const { interval: { low, high } } = run(truth);
    if (low <= truth && truth <= high) held++;
    const same = run(1);
    if (judge(same.interval, { band: same.noise }) !== "no difference shown") alarms++;
  }
  assert.ok(held >= 0.95 * 400, `${held} of 400`);
  assert.ok(alarms <= 4, `${alarms} of 400`);
});

Deno.test("medianInterval() lies between the order statistics of the sign test", () => {
  const values = Array.from({ length: 12 }, (_, i) => i + 1);
  assert.deepEqual(medianInterval(values), { low: 3, high: 10 }); // P = 0.961
  assert.deepEqual(medianInterval(values.slice(0, 6)), { low: 1, high: 6 }); // P = 0.969
  assert.deepEqual(medianInterval(values.slice(0, 5)), { low: 0, high: Infinity });
});
