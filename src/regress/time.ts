/**
 * Times the stored engine, loaded twice, and a rebuild in the same rounds, and does so with many loadings, of each rebuild
 * in turn: plans on a GPU where there is one that runs them, else networks in ONNX Runtime on the CPU. It goes on until it
 * is told that a judgement can be made, or the time is up.
 */
import { type Examples, firstBatch } from "../compile/evaluate.ts";
import { isRefusal } from "../errors.ts";
import type { Load, RunClock, Timed } from "../report/run_report.ts";
import { PROCESSOR_TIME, THIS_MACHINE } from "../run/machine.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import type { PreparedCall, Session } from "../run/session.ts";
import { findGpu, sessionFromPlan } from "../run/tensorrt.ts";
import { compareLatency } from "../run/timing.ts";
import type { Library } from "./build.ts";
import type { Backend } from "./fingerprint.ts";
import { FEWEST_LOADS } from "./verdict.ts";

/** One build's files. */
export interface Engine {
  readonly onnxPath: string | null;
  readonly planPath: string | null;
}

/** Opens engines of one kind: all of a comparison on the GPU, or all on the CPU. */
export interface Loader extends Backend {
  readonly whyCpu: string | null;
  /** Whether an engine has the file that this kind takes. */
  has(engine: Engine): boolean;
  load(engine: Engine): Promise<Session>;
}

export interface LoaderOptions {
  readonly library: Library | null;
  /** A plan that must load, for a GPU to be used. */
  readonly probe: string | null;
  readonly threads: number;
}

/** Decides where engines are timed. */
export async function loaderFor({ library, probe, threads }: LoaderOptions): Promise<Loader> {
  const onCpu = (whyCpu: string): Loader => ({
    backend: null,
    threads,
    onGpu: false,
    whyCpu,
    has: ({ onnxPath }) => onnxPath !== null,
    load: ({ onnxPath }) => sessionFromOnnx(onnxPath!, { threads }),
  });
  if (library === null || probe === null) return onCpu("no plan was built");
  const options = { library: library.path, cudartPath: library.cudartPath };
  const gpu = await findGpu(options);
  if ("unavailable" in gpu) return onCpu(gpu.unavailable);
  try {
    await using _works = await sessionFromPlan(probe, options);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return onCpu(`${gpu.backend} cannot run the plan: ${error.message.replaceAll(/\s*\n\s*/g, " ")}`);
  }
  return {
    backend: gpu.backend,
    threads: null,
    onGpu: true,
    whyCpu: null,
    has: ({ planPath }) => planPath !== null,
    load: ({ planPath }) => sessionFromPlan(planPath!, options),
  };
}

export interface TimeOptions {
  readonly loader: Loader;
  readonly stored: Engine;
  readonly builds: readonly Engine[];
  readonly examples: Examples;
  readonly batch: number;
  readonly concurrency: number;
  /** The least time of all rounds together, loading and warm-up aside. */
  readonly minMs: number;
  /** No loading begins after this, by `performance.now()`, once there are enough for an interval. */
  readonly deadlineMs: number;
  /** Whether the samples so far are enough. */
  readonly isEnough: (timed: Timed) => boolean;
  /** Processor time in place of wall time; of no meaning on a GPU. */
  readonly clock: "wall" | "processor";
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

/** Loadings of the first look: order statistics lie well within the extremes then. */
const FIRST_LOADS = 9;
const MIN_LOAD_MS = 150;
const WARMUP_MS = 40;

/**
 * Loads and times until it is enough: after 9 loadings, and after half as many again each time, or at the deadline. So few
 * looks, each at all samples so far, hardly raise the share of false alarms.
 */
export async function timeInTurns(options: TimeOptions): Promise<Timed> {
  const { builds, minMs, deadlineMs, concurrency, isEnough, onProgress, seed = 0 } = options;
  let loadMs = Math.max(Math.min(MIN_LOAD_MS, minMs), minMs / FIRST_LOADS);
  const started = performance.now();
  const loads: Load[] = [];
  // The last of each kind: the figures in them change from loading to loading.
  const warnings = new Map<string, string>();
  let [backend, clock]: [string, RunClock] = ["", options.clock];
  let look = FIRST_LOADS;
  const timed = () => ({ backend, clock, concurrency, loads, warnings: [...warnings.values()] });
  while (true) {
    const build = loads.length % builds.length;
    const { load, backend: by, clock: kind, said } = await timeLoading(options, {
      index: loads.length,
      build,
      loadMs,
      seed: seed + loads.length,
    });
    loads.push({ build, ...load });
    [backend, clock] = [by, kind];
    said.forEach((warning) => warnings.set(warning.replaceAll(/[\d.]+/g, ""), warning));
    const now = performance.now();
    onProgress?.(Math.min(1, Math.max(loads.length / look, (now - started) / (deadlineMs - started))));
    const isLate = now + (now - started) / loads.length > deadlineMs;
    if (loads.length >= FEWEST_LOADS && isLate) return timed();
    if (loads.length < look) continue;
    if (isEnough(timed())) return timed();
    // More loadings and longer ones: either may be what the width comes from.
    look = Math.ceil(look * 1.5);
    loadMs *= 1.25;
  }
}

/** Orders of opening, each as often: what is opened early is slower. */
const ORDERS = [
  ["stored", "build", "again"],
  ["again", "stored", "build"],
  ["build", "again", "stored"],
  ["again", "build", "stored"],
  ["stored", "again", "build"],
  ["build", "stored", "again"],
] as const;

/** One loading: the stored engine twice and one build. */
async function timeLoading(
  { loader, stored, builds, examples, batch, concurrency, clock, signal }: TimeOptions,
  { index, build, loadMs, seed }: { index: number; build: number; loadMs: number; seed: number },
) {
  const begun = performance.now();
  const engines = { stored, again: stored, build: builds[build]! } as const;
  await using open = new AsyncDisposableStack();
  const contenders: Record<string, PreparedCall> = {};
  let session: Session | undefined;
  for (const name of ORDERS[index % ORDERS.length]!) {
    signal?.throwIfAborted();
    session = open.use(await loader.load(engines[name]));
    contenders[name] = await concurrently(session, { examples, batch, concurrency });
  }
  const { backend, threads } = session!;
  const { contenders: times, warnings } = await compareLatency({
    contenders,
    baseline: "stored",
    warmupMs: Math.min(WARMUP_MS, loadMs),
    // At least as long as opening took, or most of the time would go into that.
    minMs: Math.max(loadMs, performance.now() - begun),
    noiseMs: 0,
    minRounds: 5,
    seed,
    machine: clock === "processor" ? PROCESSOR_TIME : THIS_MACHINE,
    ...(threads !== undefined && { threads }),
    ...(signal && { signal }),
  });
  const samples = (name: keyof typeof engines) => [...times[name]!.samplesMs];
  return {
    backend,
    clock: times.stored!.clock === "device" ? "device" as const : clock,
    load: { storedMs: samples("stored"), againMs: samples("again"), buildMs: samples("build") },
    // That one thing varies says little where many loadings are compared; that the machine is busy says much.
    said: warnings.filter((warning) => !/ varies by /.test(warning)),
  };
}

/** A call that runs `concurrency` calls at once and ends with the last. */
async function concurrently(
  session: Session,
  { examples, batch, concurrency }: Pick<TimeOptions, "examples" | "batch" | "concurrency">,
): Promise<PreparedCall> {
  const feeds = firstBatch(session, examples, batch);
  const calls: PreparedCall[] = [];
  for (let i = 0; i < concurrency; i++) calls.push(await session.prepare(feeds));
  if (calls.length === 1) return calls[0]!;
  return async () => {
    await Promise.all(calls.map((call) => call()));
    return undefined;
  };
}
