/**
 * Times the stored engine, loaded twice, and a rebuild in the same rounds, and does so with many loadings, of
 * each rebuild in turn: plans on a GPU where there is one that runs them, else networks in ONNX Runtime on
 * the CPU. It ends when a judgement can be made or the time is up.
 */
import { deviceFor } from "../compile/device.ts";
import { firstBatch } from "../compile/evaluate.ts";
import type { Examples } from "../compile/examples.ts";
import type { Watch } from "../compile/line.ts";
import type { Load, Timed } from "../report/run_report.ts";
import { type Loading, type Open, timeLoadings } from "../run/loadings.ts";
import { PROCESSOR_TIME, THIS_MACHINE } from "../run/machine.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import type { PreparedCall, Session } from "../run/session.ts";
import { sessionFromPlan } from "../run/tensorrt/engine.ts";
import { compareLatency, type Latency } from "../run/timing.ts";
import type { Library } from "./build.ts";
import type { Backend } from "./fingerprint.ts";

/** One build's files. */
export interface EngineFiles {
  readonly onnxPath: string | null;
  readonly planPath: string | null;
}

/** Opens engines of one kind: all of a comparison on the GPU, or all on the CPU. */
export interface Loader extends Backend {
  readonly whyCpu: string | null;
  /** Whether an engine has the file that this kind takes. */
  has(engine: EngineFiles): boolean;
  load(engine: EngineFiles): Promise<Session>;
}

export interface LoaderOptions extends Pick<Watch, "onEvent" | "signal"> {
  readonly library: Library | null;
  /** A plan that must load, for a GPU to be used. */
  readonly probe: string | null;
  readonly threads: number;
}

/** Decides where engines are timed. */
export async function loaderFor(
  { library, probe, threads, onEvent, signal }: LoaderOptions,
): Promise<Loader> {
  const plans = probe === null ? [] : [probe];
  const device = await deviceFor(plans, { library: library && library.path, onEvent, signal });
  if ("gpu" in device) {
    return {
      backend: device.backend,
      threads: null,
      onGpu: true,
      whyCpu: null,
      has: ({ planPath }) => planPath !== null,
      load: ({ planPath }) => sessionFromPlan(planPath!, device.gpu),
    };
  }
  return {
    backend: null,
    threads,
    onGpu: false,
    whyCpu: device.whyCpu,
    has: ({ onnxPath }) => onnxPath !== null,
    load: ({ onnxPath }) => sessionFromOnnx(onnxPath!, { threads }),
  };
}

export interface TimeOptions {
  readonly loader: Loader;
  readonly stored: EngineFiles;
  readonly builds: readonly EngineFiles[];
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

/** Order statistics lie well within the extremes then. */
const FIRST_LOOK = 9;

/** Loads and times until enough: asked after 9 loadings, then after half as many again; or the deadline. */
export async function timeInTurns(options: TimeOptions): Promise<Timed> {
  const { loader, stored, builds, examples, batch, concurrency, clock, isEnough, ...rest } = options;
  let backend = "";
  let threads: number | undefined;
  const open = (engineOf: (index: number) => EngineFiles): Open => async (opened, index) => {
    const session = opened.use(await loader.load(engineOf(index)));
    backend = session.backend;
    threads = session.threads;
    return await concurrently(session, { examples, batch, concurrency });
  };
  const loadsOf = (loadings: readonly Loading[]): Load[] =>
    loadings.map(({ samplesMs: { stored, build }, againMs }, index) => ({
      build: index % builds.length,
      storedMs: stored!,
      againMs,
      buildMs: build!,
    }));
  const timed = (loadings: readonly Loading[], rest: Pick<Timed, "clock" | "warnings">): Timed => ({
    backend,
    concurrency,
    loads: loadsOf(loadings),
    ...rest,
  });
  const { loadings, warnings, clock: by } = await timeLoadings({
    contenders: { stored: open(() => stored), build: open((index) => builds[index % builds.length]!) },
    baseline: "stored",
    firstLook: FIRST_LOOK,
    isEnough: (loadings) => isEnough(timed(loadings, { clock, warnings: [] })),
    threads: () => threads,
    machine: clock === "processor" ? PROCESSOR_TIME : THIS_MACHINE,
    ...rest,
  });
  return timed(loadings, { clock: by === "device" ? by : clock, warnings });
}

/** Times one engine by itself, where there is no other to take turns with. */
export async function timeAlone(
  session: Session,
  { examples, batch, ...options }: Pick<TimeOptions, "examples" | "batch" | "minMs" | "signal">,
): Promise<Latency> {
  const alone = await session.prepare(firstBatch(session, examples, batch));
  const { contenders } = await compareLatency({
    contenders: { alone },
    baseline: "alone",
    noiseMs: 0,
    ...options,
  });
  return contenders.alone!;
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
