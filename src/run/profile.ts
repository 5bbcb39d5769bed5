/**
 * trtexec's figures from the times of inferences: throughput, and the distributions of latency, enqueue,
 * copies and compute. Pure arithmetic over traces, which `tensorrt/profile.ts` takes. Percentiles are
 * interpolated, where trtexec takes the sample below.
 */
import { UnfoldError } from "../errors.ts";
import { coefficientOfVariation, mean, median, percentile } from "./statistics.ts";

/**
 * When one inference did what, in milliseconds from the start of the measurement. Enqueuing is on the host's
 * clock, the rest on the GPU's. Without copies, theirs begin and end where computing does. trtexec's own
 * names (--exportTimes).
 */
export interface QueryTrace {
  /** Which of the inference streams, from 0. */
  readonly stream: number;
  /** The host began to enqueue. */
  readonly startEnqMs: number;
  /** The host had enqueued everything. */
  readonly endEnqMs: number;
  /** Inputs began to be copied to the GPU. */
  readonly startH2dMs: number;
  /** They were there. */
  readonly endH2dMs: number;
  /** The GPU began to compute. */
  readonly startComputeMs: number;
  /** It was done. */
  readonly endComputeMs: number;
  /** Outputs began to be copied to the host. */
  readonly startD2hMs: number;
  /** They were there. */
  readonly endD2hMs: number;
}

/** Milliseconds of all inferences. */
export interface Distribution {
  /** The shortest. */
  readonly minMs: number;
  /** The longest. */
  readonly maxMs: number;
  /** The mean. */
  readonly meanMs: number;
  /** The median. */
  readonly medianMs: number;
  /** In the order they were asked for. */
  readonly percentiles: readonly { readonly percent: number; readonly ms: number }[];
  /** Standard deviation over mean; 0.025 is 2.5 %. */
  readonly coefficientOfVariation: number;
}

/** Each inference's times: `latency` is `h2d`, `compute` and `d2h` together; `enqueue` is the host's. */
export type Measured = "latency" | "enqueue" | "h2d" | "compute" | "d2h";
export const MEASURED = [
  "latency",
  "enqueue",
  "h2d",
  "compute",
  "d2h",
] as const satisfies readonly Measured[];

/** trtexec's performance summary. */
export interface ProfileFigures {
  /** Inferences that count. */
  readonly queries: number;
  /** Inferences before, which count nowhere. */
  readonly warmUpQueries: number;
  /** Inferences a second. */
  readonly throughputQps: number;
  /** From the first copy to the GPU to the end of the last from it. */
  readonly walltimeMs: number;
  /** All computing together. */
  readonly totalComputeMs: number;
  /** latency = h2d + compute + d2h. */
  readonly distributions: Readonly<Record<Measured, Distribution>>;
}

/** Milliseconds of one inference of each. */
export function timesOf(trace: QueryTrace): Readonly<Record<Measured, number>> {
  const h2d = trace.endH2dMs - trace.startH2dMs;
  const compute = trace.endComputeMs - trace.startComputeMs;
  const d2h = trace.endD2hMs - trace.startD2hMs;
  return { latency: h2d + compute + d2h, enqueue: trace.endEnqMs - trace.startEnqMs, h2d, compute, d2h };
}

/** The traces that count: of inferences that began to compute once the warm-up was over. */
export function withoutWarmUp(traces: readonly QueryTrace[], warmUpMs: number): readonly QueryTrace[] {
  return traces.filter(({ startComputeMs }) => startComputeMs >= warmUpMs);
}

/**
 * Figures over traces, of which those before `warmUpMs` do not count.
 *
 * @throws {UnfoldError} no trace counts
 */
export function profileFigures(
  traces: readonly QueryTrace[],
  { warmUpMs = 0, percentiles = [90, 95, 99] }: { warmUpMs?: number; percentiles?: readonly number[] } = {},
): ProfileFigures {
  const counted = withoutWarmUp(traces, warmUpMs);
  if (counted.length === 0) {
    throw new UnfoldError(`no inference began after the warm-up of ${warmUpMs} ms; measure longer`);
  }
  const times = counted.map(timesOf);
  // With several streams, neither the first nor the last to be enqueued need be the first or last to run.
  const walltimeMs = counted.map(({ endD2hMs }) => endD2hMs).reduce((a, b) => Math.max(a, b)) -
    counted.map(({ startH2dMs }) => startH2dMs).reduce((a, b) => Math.min(a, b));
  const distributions = Object.fromEntries(
    MEASURED.map((name) => [name, distribution(times.map((time) => time[name]), percentiles)]),
  ) as Record<Measured, Distribution>;
  return {
    queries: counted.length,
    warmUpQueries: traces.length - counted.length,
    throughputQps: counted.length / walltimeMs * 1000,
    walltimeMs,
    totalComputeMs: times.reduce((sum, { compute }) => sum + compute, 0),
    distributions,
  };
}

function distribution(samples: readonly number[], percentiles: readonly number[]): Distribution {
  return {
    minMs: percentile(samples, 0),
    maxMs: percentile(samples, 100),
    meanMs: mean(samples),
    medianMs: median(samples),
    percentiles: percentiles.map((percent) => ({ percent, ms: percentile(samples, percent) })),
    coefficientOfVariation: coefficientOfVariation(samples),
  };
}

/** trtexec's thresholds. */
const ENQUEUE_SHARE = 0.8;
const UNSTABLE = 0.025;
/** Of the clock, while measuring. */
const CLOCK_CHANGE = 0.05;

/** What a GPU said of itself while it was measured; what it does not tell is absent. */
export interface ClockReading {
  /** The clock of the multiprocessors. */
  readonly clockMHz?: number;
  /** What that clock can be. */
  readonly maxClockMHz?: number;
  /** The clock of the memory. */
  readonly memoryClockMHz?: number;
  /** Of the GPU, in degrees Celsius. */
  readonly temperatureC?: number;
  /** Of the whole board, in watts. */
  readonly powerW?: number;
  /** What holds the clocks down, as phrases that follow "by". */
  readonly throttledBy: readonly string[];
}

/** What makes figures less trustworthy, as sentences. */
export function profileWarnings(
  { distributions: { enqueue, h2d, compute, d2h } }: ProfileFigures,
  { streams, clocks }: { readonly streams: number; readonly clocks: readonly ClockReading[] },
): string[] {
  const warnings: string[] = [];
  if (enqueue.medianMs > ENQUEUE_SHARE * compute.medianMs) {
    warnings.push(
      "enqueuing takes over 80 % of the time of computing, so the GPU may wait for the processor; " +
        "--cuda-graph enqueues faster",
    );
  }
  for (const [copies, { medianMs }] of [["to", h2d], ["from", d2h]] as const) {
    if (medianMs < compute.medianMs) continue;
    warnings.push(
      `copies ${copies} the GPU take longer than computing and bound the throughput; --no-transfers leaves them out`,
    );
  }
  if (compute.coefficientOfVariation > UNSTABLE) {
    warnings.push(
      `the time of computing varies by ${
        (compute.coefficientOfVariation * 100).toFixed(1)
      } % (over 2.5 %); ` +
        "locked clocks of the GPU make it steadier",
    );
  }
  if (streams > 1) {
    warnings.push(
      `${streams} inference streams share the GPU: latencies include each other; read the throughput`,
    );
  }
  const mhz = clocks.flatMap(({ clockMHz }) => clockMHz ?? []);
  const [slowest, fastest] = [Math.min(...mhz), Math.max(...mhz)];
  if (mhz.length > 0 && slowest < fastest * (1 - CLOCK_CHANGE)) {
    warnings.push(`the GPU's clock went between ${slowest} and ${fastest} MHz`);
  }
  const reasons = new Set(clocks.flatMap(({ throttledBy }) => throttledBy));
  if (reasons.size > 0) warnings.push(`the GPU's clocks were held down by ${[...reasons].join(", ")}`);
  return warnings;
}

/** A layer over some runs, as in trtexec's profile (--exportProfile). */
export interface LayerTime {
  /** TensorRT's name of the layer. */
  readonly name: string;
  /** All runs together. */
  readonly timeMs: number;
  /** The mean of the runs. */
  readonly averageMs: number;
  /** The median. */
  readonly medianMs: number;
  /** Of all layers' time. */
  readonly percentage: number;
}

/** Layers in the order they ran, from what each run reported. Runs of one engine report the same layers. */
export function layerTimes(
  runs: readonly (readonly { readonly layer: string; readonly ms: number }[])[],
): readonly LayerTime[] {
  const first = runs[0] ?? [];
  const rows = first.map(({ layer }, i) => {
    const samples = runs.map((run) => run[i]?.ms ?? NaN);
    if (runs.some((run) => run.length !== first.length || run[i]!.layer !== layer)) {
      throw new UnfoldError("the engine reported other layers in one run than in another; profile it again");
    }
    return { name: layer, samples };
  });
  const total = rows.reduce((sum, { samples }) => sum + samples.reduce((a, b) => a + b), 0);
  return rows.map(({ name, samples }) => {
    const timeMs = samples.reduce((a, b) => a + b);
    return {
      name,
      timeMs,
      averageMs: mean(samples),
      medianMs: median(samples),
      percentage: total === 0 ? 0 : timeMs / total * 100,
    };
  });
}
