/**
 * Latency, compared. Contenders take turns within each round, in an order shuffled per round, so that any
 * drift (clocks, heat, neighbours) affects all of them alike. The result is the ratio of paired rounds, with
 * an interval, beside the noise of the baseline timed against itself just before. Every sample is kept.
 * Absolute times are shown, but compared across neither runs nor machines; profiles and memory are left to
 * other tools.
 */
import { UnfoldError } from "../errors.ts";
import { type Machine, machineWarnings, THIS_MACHINE } from "./machine.ts";
import type { PreparedCall } from "./session.ts";
import {
  bootstrapMedian,
  coefficientOfVariation,
  type Interval,
  mean,
  median,
  noiseBand,
  type Outliers,
  outliers,
  pairedRatios,
  percentile,
  seededRandom,
  shuffled,
} from "./statistics.ts";

/** What `compareLatency` times, and how long. */
export interface LatencyOptions {
  /** What to time, by name; calls of one session may be among them. At least one. */
  readonly contenders: Readonly<Record<string, PreparedCall>>;
  /** The contender that the others are divided by. */
  readonly baseline: string;
  /** Time each contender runs before anything is kept; default 200. */
  readonly warmupMs?: number;
  /** The comparison lasts at least this many rounds (default 10) ... */
  readonly minRounds?: number;
  /** ... and this long (default 3000) ... */
  readonly minMs?: number;
  /** ... unless this many rounds are done before; default: no limit. */
  readonly maxRounds?: number;
  /** How long the baseline is timed against itself; default a third of `minMs`. Short widens the band. */
  readonly noiseMs?: number;
  /** Decides the order within rounds and the resampling; default 0. */
  readonly seed?: number;
  /** CPU threads that the contenders use (`session.threads`), for the warnings. */
  readonly threads?: number;
  /** Called after each round, outside all measured time. */
  readonly onRound?: (progress: RoundProgress) => void;
  /** Stops between calls: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Default: this one.
   *
   * @internal
   */
  readonly machine?: Machine;
}

/** Whose time a sample is: the device's own events, or the wall's. */
export type Clock = "wall" | "device";

/** A round that is over. */
export interface RoundProgress {
  /** Whether the baseline is timed against itself, or all contenders are. */
  readonly phase: "noise" | "comparison";
  /** From 1 on. */
  readonly round: number;
  /** Since the start. */
  readonly elapsedMs: number;
  /** This round's milliseconds per call. */
  readonly roundMs: Readonly<Record<string, number>>;
}

/** A contender's times, in milliseconds per call. */
export interface Latency {
  /** Whose time it is. */
  readonly clock: Clock;
  /** Calls behind each sample, so that a sample lasts at least a millisecond; every figure is per call. */
  readonly callsPerSample: number;
  /** The shortest. */
  readonly minMs: number;
  /** The mean. */
  readonly meanMs: number;
  /** The median. */
  readonly medianMs: number;
  /** The 90th percentile. */
  readonly p90Ms: number;
  /** The 95th percentile. */
  readonly p95Ms: number;
  /** The 99th percentile. */
  readonly p99Ms: number;
  /** Standard deviation over mean; 0.025 is 2.5 %. */
  readonly coefficientOfVariation: number;
  /** Rounds outside Tukey's fences; they count like all others. */
  readonly outliers: Outliers;
  /** Milliseconds per call, one sample a round, in the order of the rounds. */
  readonly samplesMs: readonly number[];
}

/** A contender's time divided by the baseline's: below 1 is faster. */
export interface LatencyRatio {
  /** Median of the ratios of paired rounds. */
  readonly median: number;
  /** The 95 % bootstrap interval of that median. */
  readonly low: number;
  /** The upper end of that interval. */
  readonly high: number;
  /** Ratio of the fastest samples. */
  readonly ofMinima: number;
}

/** A contender's times, in milliseconds per call. */
export interface LatencyComparison {
  /** The contender that the others are divided by. */
  readonly baseline: string;
  /** Rounds, in each of which every contender was timed once. */
  readonly rounds: number;
  /** What decided the order within rounds. */
  readonly seed: number;
  /** By name. */
  readonly contenders: Readonly<Record<string, Latency>>;
  /** For every contender but the baseline. */
  readonly ratios: Readonly<Record<string, LatencyRatio>>;
  /** The baseline against itself: ratios within the band are no difference. */
  readonly noise: {
    readonly band: Interval;
    readonly rounds: number;
    readonly samplesMs: readonly [first: readonly number[], second: readonly number[]];
  };
  /** What makes these figures less trustworthy, as sentences. */
  readonly warnings: readonly string[];
}

/**
 * Times contenders against a baseline, interleaved.
 *
 * @throws UnfoldError for options that contradict each other, or if some contenders measure device time and
 * others do not; whatever a contender throws; the signal's reason.
 *
 * @example
 * ```ts
 * import { judge } from "./statistics.ts";
 *
 * const wait = (ms: number) => () => new Promise<undefined>((done) => setTimeout(() => done(undefined), ms));
 * const { ratios, noise } = await compareLatency({
 *   contenders: { ln: wait(3), un: wait(2) }, // session.prepare(feeds) makes real ones
 *   baseline: "ln",
 *   warmupMs: 0,
 *   minMs: 0,
 * });
 * console.assert(["faster", "no difference shown"].includes(judge(ratios.un!, { band: noise.band })));
 * ```
 */
export async function compareLatency(options: LatencyOptions): Promise<LatencyComparison> {
  const { contenders, baseline, warmupMs = 200, minMs = 3000, seed = 0 } = options;
  const { noiseMs = minMs / 3, maxRounds = Infinity, minRounds = Math.min(10, maxRounds) } = options;
  const machine = options.machine ?? THIS_MACHINE;
  const { now, state } = machine;
  const elapsed = () => machine.elapsed?.() ?? now();
  const names = Object.keys(contenders);
  if (!names.includes(baseline)) {
    throw new UnfoldError(`the baseline "${baseline}" is none of the contenders (${names.join(", ")})`);
  }
  for (const [name, value] of Object.entries({ warmupMs, minMs, noiseMs })) {
    if (!(value >= 0 && value < Infinity)) throw new UnfoldError(`${name} is a time from 0 on, not ${value}`);
  }
  if (!(minRounds >= 1) || !(maxRounds >= minRounds)) {
    throw new UnfoldError(`rounds: at least ${minRounds} and at most ${maxRounds} is no range from 1 on`);
  }
  const random = seededRandom(seed);
  const signal = options.signal ?? null;

  const stopwatches = names.map((name) => new Stopwatch(name, contenders[name]!, { now, signal }));
  for (const stopwatch of stopwatches) await stopwatch.warmUp(warmupMs);
  const clocks = new Set(stopwatches.map(({ clock }) => clock));
  if (clocks.size > 1) {
    const [device, wall] = (["device", "wall"] as const).map((clock) =>
      stopwatches.filter((stopwatch) => stopwatch.clock === clock).map(({ name }) => name).join(", ")
    );
    throw new UnfoldError(
      `device time (${device}) and wall time (${wall}) cannot be compared; time contenders of one kind`,
    );
  }
  const before = state(); // after the warm-up: an idle clock is slow

  const rounds = async (phase: RoundProgress["phase"], entrants: readonly Stopwatch[], phaseMs: number) => {
    const samples = entrants.map((): number[] => []);
    const labels = entrants.map(({ name }, i) => phase === "noise" && i > 0 ? `${name} again` : name);
    const order = entrants.map((_, i) => i);
    const start = elapsed();
    let round = 0;
    while (round < maxRounds && (round < minRounds || elapsed() - start < phaseMs)) {
      round++;
      for (const i of shuffled(order, random)) samples[i]!.push(await entrants[i]!.sample());
      options.onRound?.({
        phase,
        round,
        elapsedMs: elapsed() - start,
        roundMs: Object.fromEntries(labels.map((label, i) => [label, samples[i]!.at(-1)!])),
      });
    }
    return samples;
  };
  const base = names.indexOf(baseline);
  const [first, second] = await rounds("noise", [stopwatches[base]!, stopwatches[base]!], noiseMs);
  const samples = await rounds("comparison", stopwatches, minMs);

  const band = noiseBand(pairedRatios(second!, first!), { seed });
  const latencies = stopwatches.map((stopwatch, i) => summarize(stopwatch, samples[i]!));
  return {
    baseline,
    rounds: samples[base]!.length,
    seed,
    contenders: Object.fromEntries(names.map((name, i) => [name, latencies[i]!])),
    ratios: Object.fromEntries(
      names.flatMap((name, i) => i === base ? [] : [[name, ratioOf(samples[i]!, samples[base]!, seed)]]),
    ),
    noise: {
      band,
      rounds: first!.length,
      samplesMs: [first!, second!],
    },
    warnings: [
      ...noiseWarning(baseline, band),
      ...machineWarnings(before, state(), { threads: options.threads }),
    ],
  };
}

/** A sample that is shorter drowns in the wall clock's own resolution and in the cost of an awaited call. */
const MIN_SAMPLE_MS = 1;

class Stopwatch {
  readonly name: string;
  clock: Clock = "wall";
  callsPerSample = 1;
  readonly #call: PreparedCall;
  readonly #now: () => number;
  readonly #signal: AbortSignal | null;

  constructor(
    name: string,
    call: PreparedCall,
    { now, signal }: { now: () => number; signal: AbortSignal | null },
  ) {
    this.name = name;
    this.#call = call;
    this.#now = now;
    this.#signal = signal;
  }

  /** Runs for at least `durationMs` and one call, whose typical time decides how many make up a sample. */
  async warmUp(durationMs: number): Promise<void> {
    const callsMs: number[] = [];
    const start = this.#now();
    do {
      this.#signal?.throwIfAborted();
      const before = this.#now();
      const deviceMs = await this.#call();
      callsMs.push(this.#now() - before);
      this.clock = deviceMs === undefined ? "wall" : "device";
    } while (this.#now() - start < durationMs);
    const callMs = median(callsMs);
    if (callMs < MIN_SAMPLE_MS) this.callsPerSample = Math.ceil(MIN_SAMPLE_MS / Math.max(callMs, 1e-4));
  }

  /** Milliseconds per call of one sample. */
  async sample(): Promise<number> {
    let sumMs = 0;
    const start = this.#now();
    for (let i = 0; i < this.callsPerSample; i++) {
      this.#signal?.throwIfAborted();
      const deviceMs = await this.#call();
      if ((deviceMs !== undefined) !== (this.clock === "device")) {
        throw new UnfoldError(`"${this.name}" returns device time from some calls only`);
      }
      sumMs += deviceMs ?? 0;
    }
    return (this.clock === "device" ? sumMs : this.#now() - start) / this.callsPerSample;
  }
}

function summarize({ clock, callsPerSample }: Stopwatch, samplesMs: readonly number[]): Latency {
  return {
    clock,
    callsPerSample,
    minMs: percentile(samplesMs, 0),
    meanMs: mean(samplesMs),
    medianMs: median(samplesMs),
    p90Ms: percentile(samplesMs, 90),
    p95Ms: percentile(samplesMs, 95),
    p99Ms: percentile(samplesMs, 99),
    coefficientOfVariation: coefficientOfVariation(samplesMs),
    outliers: outliers(samplesMs),
    samplesMs,
  };
}

function ratioOf(samplesMs: readonly number[], baselineMs: readonly number[], seed: number): LatencyRatio {
  const ratios = pairedRatios(samplesMs, baselineMs);
  return {
    median: median(ratios),
    ...bootstrapMedian(ratios, { seed }),
    ofMinima: percentile(samplesMs, 0) / percentile(baselineMs, 0),
  };
}

/** What one network, timed twice, differs by on a quiet machine stays below this. */
const USUAL_NOISE = 0.05;

/** A sentence where the baseline differs from itself by more than it usually does. */
export function noiseWarning(baseline: string, { high }: Interval): string[] {
  return high - 1 > USUAL_NOISE
    ? [
      `"${baseline}" differs from itself by up to ${
        (100 * (high - 1)).toFixed(1)
      } % here, more than on a quiet machine`,
    ]
    : [];
}
