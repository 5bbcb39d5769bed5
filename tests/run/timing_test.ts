/** Timing on a scripted clock: a contender's call moves the clock by the duration that the script says. */
import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import type { MachineState } from "../../src/run/machine.ts";
import type { PreparedCall } from "../../src/run/session.ts";
import { compareLatency, type RoundProgress } from "../../src/run/timing.ts";

class FakeMachine {
  timeMs = 0;
  readonly calls: string[] = [];
  readonly #states: MachineState[];

  constructor(...states: MachineState[]) {
    this.#states = states;
  }

  now = () => this.timeMs;
  state = (): MachineState => this.#states.shift() ?? { cores: 4 };

  /** Takes `durationMs(n)` for its n-th call, counted from 0; says so itself if `device`. */
  contender(name: string, durationMs: (n: number) => number, { device = false } = {}): PreparedCall {
    let n = 0;
    return () => {
      const duration = durationMs(n++);
      this.timeMs += device ? duration + 5 : duration;
      this.calls.push(name);
      return Promise.resolve(device ? duration : undefined);
    };
  }
}

Deno.test("compareLatency() reports paired ratios and keeps every sample", async () => {
  const machine = new FakeMachine();
  const slow = (n: number) => 10 + n % 2; // 10, 11, 10, 11 ...
  const result = await compareLatency({
    contenders: {
      ln: machine.contender("ln", slow),
      un: machine.contender("un", (n) => slow(n) / 2),
    },
    baseline: "ln",
    warmupMs: 0,
    minMs: 0,
    minRounds: 11,
    machine,
  });
  assert.equal(result.rounds, 11);
  assert.deepEqual(result.warnings.map((warning) => warning.slice(0, 9)), ['"ln" diff']);
  assert.match(result.warnings[0]!, /differs from itself by up to 10\.0 % here/);
  const { ln, un } = result.contenders;
  // One call of the warm-up and 22 of the noise phase came before the first round of the comparison.
  assert.deepEqual(ln!.samplesMs, [11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11]);
  assert.deepEqual(un!.samplesMs, [5.5, 5, 5.5, 5, 5.5, 5, 5.5, 5, 5.5, 5, 5.5]);
  assert.deepEqual(
    [ln!.minMs, ln!.medianMs, ln!.p90Ms, ln!.p99Ms, ln!.callsPerSample, ln!.clock],
    [10, 11, 11, 11, 1, "wall"],
  );
  assert.deepEqual(result.ratios, { un: { median: 0.5, low: 0.5, high: 0.5, ofMinima: 0.5 } });
});

Deno.test("compareLatency() times the baseline against itself first", async () => {
  const machine = new FakeMachine();
  const result = await compareLatency({
    contenders: {
      a: machine.contender("a", (n) => n % 2 === 0 ? 9 : 10),
      b: machine.contender("b", () => 10),
    },
    baseline: "a",
    warmupMs: 0,
    minMs: 600,
    noiseMs: 190,
    machine,
  });
  assert.deepEqual(machine.calls.slice(0, 22), ["a", "b", ...Array(20).fill("a")]);
  assert.equal(result.noise.rounds, 10);
  assert.deepEqual(result.noise.samplesMs.map((samples) => samples.length), [10, 10]);
  const { low, high } = result.noise.band;
  assert.ok(low < 1 && high > 1 && high <= 10 / 9 + 1e-12, `${low} to ${high}`);
  assert.ok(Math.abs(low * high - 1) < 1e-12);
});

Deno.test("compareLatency() shuffles the order by its seed", async () => {
  const order = async (seed: number) => {
    const machine = new FakeMachine();
    const contenders = Object.fromEntries(
      ["a", "b", "c"].map((name) => [name, machine.contender(name, () => 2)]),
    );
    await compareLatency({ contenders, baseline: "b", warmupMs: 0, minMs: 0, minRounds: 60, seed, machine });
    return machine.calls.slice(3 + 120).join("");
  };
  const calls = await order(1);
  assert.equal(await order(1), calls);
  assert.notEqual(await order(2), calls);
  const rounds = calls.match(/.{3}/g)!;
  assert.equal(rounds.length, 60);
  assert.ok(
    rounds.every((round) => [...round].sort().join("") === "abc"),
    "every contender once in every round",
  );
  assert.equal(new Set(rounds).size, 6);
});

Deno.test("compareLatency() gathers short calls into samples of a millisecond", async () => {
  const machine = new FakeMachine();
  const { contenders } = await compareLatency({
    contenders: { short: machine.contender("short", () => 0.25), long: machine.contender("long", () => 3) },
    baseline: "long",
    warmupMs: 2,
    minMs: 0,
    maxRounds: 4,
    machine,
  });
  assert.equal(contenders.short!.callsPerSample, 4);
  assert.equal(contenders.long!.callsPerSample, 1);
  assert.deepEqual(contenders.short!.samplesMs, [0.25, 0.25, 0.25, 0.25]);
  // warm-up 8 and 1; noise 4 x 2 long; comparison 4 x (4 short, 1 long)
  assert.equal(machine.calls.filter((name) => name === "short").length, 8 + 16);
  assert.equal(machine.calls.filter((name) => name === "long").length, 1 + 8 + 4);
});

Deno.test("compareLatency() prefers the device's clock and does not mix it with the wall's", async () => {
  const machine = new FakeMachine();
  const a = machine.contender("a", () => 2, { device: true });
  const b = machine.contender("b", () => 1, { device: true });
  const common = { baseline: "a", warmupMs: 0, minMs: 0, machine };
  const result = await compareLatency({ ...common, contenders: { a, b } });
  assert.equal(result.contenders.b!.clock, "device");
  assert.equal(result.contenders.b!.medianMs, 1);
  assert.equal(result.ratios.b!.median, 0.5);
  await assert.rejects(
    compareLatency({ ...common, contenders: { a, c: machine.contender("c", () => 1) } }),
    (error) => error instanceof UnfoldError && /device time \(a\) and wall time \(c\)/.test(error.message),
  );
});

Deno.test("compareLatency() lasts for the rounds and the time it is told", async () => {
  const rounds = async (options: { minRounds?: number; minMs: number; maxRounds?: number }) => {
    const machine = new FakeMachine();
    const contenders = { a: machine.contender("a", () => 10) };
    return (await compareLatency({ contenders, baseline: "a", warmupMs: 0, machine, ...options })).rounds;
  };
  assert.equal(await rounds({ minMs: 0 }), 10);
  assert.equal(await rounds({ minMs: 295 }), 30);
  assert.equal(await rounds({ minMs: 295, maxRounds: 5 }), 5);
  assert.equal(await rounds({ minMs: 295, minRounds: 2, maxRounds: 20 }), 20);
});

Deno.test("compareLatency() tells of each round outside the measured time", async () => {
  const machine = new FakeMachine();
  const seen: RoundProgress[] = [];
  const result = await compareLatency({
    contenders: { a: machine.contender("a", () => 10), b: machine.contender("b", () => 20) },
    baseline: "a",
    warmupMs: 0,
    minMs: 0,
    maxRounds: 2,
    machine,
    onRound: (progress) => {
      seen.push(progress);
      machine.timeMs += 1000;
    },
  });
  assert.deepEqual(seen, [
    { phase: "noise", round: 1, elapsedMs: 20, roundMs: { a: 10, "a again": 10 } },
    { phase: "noise", round: 2, elapsedMs: 1040, roundMs: { a: 10, "a again": 10 } },
    { phase: "comparison", round: 1, elapsedMs: 30, roundMs: { a: 10, b: 20 } },
    { phase: "comparison", round: 2, elapsedMs: 1060, roundMs: { a: 10, b: 20 } },
  ]);
  assert.deepEqual(result.contenders.b!.samplesMs, [20, 20]);
});

Deno.test("compareLatency() warns of what the machine shows after the warm-up and at the end", async () => {
  const machine = new FakeMachine({ cores: 2, clockMHz: 3000 }, { cores: 2, clockMHz: 2000 });
  const contenders = { a: machine.contender("a", () => 10) };
  const options = { contenders, baseline: "a", warmupMs: 0, minMs: 0, threads: 4, machine };
  assert.deepEqual((await compareLatency(options)).warnings, [
    "4 threads share 2 cores",
    "the processor's clock went from 3000 to 2000 MHz",
  ]);
});

Deno.test("compareLatency() stops between calls when aborted", async () => {
  const machine = new FakeMachine();
  const controller = new AbortController();
  const reason = new Error("enough");
  const contenders = {
    a: machine.contender("a", (n) => {
      if (n === 4) controller.abort(reason);
      return 10;
    }),
  };
  const running = compareLatency({
    contenders,
    baseline: "a",
    machine,
    warmupMs: 0,
    signal: controller.signal,
  });
  await assert.rejects(running, (error) => error === reason);
  assert.equal(machine.calls.length, 5);
});

Deno.test("compareLatency() refuses options that contradict each other", async () => {
  const machine = new FakeMachine();
  const contenders = { a: machine.contender("a", () => 10) };
  const refuses = (options: object, message: RegExp) =>
    assert.rejects(
      compareLatency({ contenders, baseline: "a", machine, ...options }),
      (error) => error instanceof UnfoldError && message.test(error.message),
    );
  await refuses({ baseline: "b" }, /baseline "b" is none of the contenders \(a\)/);
  await refuses({ minMs: -1 }, /minMs is a time from 0 on, not -1/);
  await refuses({ minRounds: 20, maxRounds: 10 }, /at least 20 and at most 10/);
  await refuses({ maxRounds: 0 }, /rounds/);
  assert.equal(machine.calls.length, 0);
});

Deno.test("compareLatency() uses this machine's clock by default", async () => {
  const call = () => Promise.resolve(undefined);
  const result = await compareLatency({
    contenders: { idle: () => new Promise((resolve) => setTimeout(() => resolve(undefined), 2)), also: call },
    baseline: "idle",
    warmupMs: 1,
    minMs: 0,
    maxRounds: 3,
  });
  assert.ok(result.contenders.idle!.minMs > 0);
  assert.equal(result.rounds, 3);
});

Deno.test("compareLatency() lasts by the wall where a machine measures by another clock", async () => {
  const machine = new FakeMachine();
  // Of ten milliseconds that pass, the processor is ours for one.
  const shared = { now: () => machine.timeMs / 10, elapsed: () => machine.timeMs, state: machine.state };
  const result = await compareLatency({
    contenders: { a: machine.contender("a", () => 20) },
    baseline: "a",
    warmupMs: 0,
    minMs: 200,
    noiseMs: 0,
    minRounds: 1,
    machine: shared,
  });
  assert.deepEqual(result.contenders.a!.samplesMs, Array(10).fill(2));
});
