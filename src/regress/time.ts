/**
 * Times the stored engine, loaded twice, and every rebuild in the same rounds: plans on a GPU where there is one that
 * runs them, else networks in ONNX Runtime on the CPU. It goes on, twice as long each time, until it is told that a
 * judgement can be made or the time is up.
 */
import { type Examples, firstBatch } from "../compile/evaluate.ts";
import { isRefusal } from "../errors.ts";
import type { Timed } from "../report/run_report.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import type { PreparedCall, Session } from "../run/session.ts";
import { findGpu, sessionFromPlan } from "../run/tensorrt.ts";
import { compareLatency } from "../run/timing.ts";
import type { Library } from "./build.ts";
import type { Backend } from "./fingerprint.ts";

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
  readonly stored: readonly [Session, Session];
  readonly builds: readonly Session[];
  readonly examples: Examples;
  readonly batch: number;
  readonly concurrency: number;
  /** The first look; each further one takes twice as long. */
  readonly firstMs: number;
  /** No look begins after this, by `performance.now()`. */
  readonly deadlineMs: number;
  /** Whether the samples so far are enough. */
  readonly isEnough: (timed: Timed) => boolean;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

/** Times in turns until it is enough. */
export async function timeInTurns(options: TimeOptions): Promise<Timed> {
  const { stored, builds, concurrency, firstMs, deadlineMs, signal, seed = 0 } = options;
  // In the order they were opened: what is allocated early and late differs by a few per cent, and the stored engine is both.
  const names = ["stored", ...builds.map((_, i) => `build ${i + 1}`), "again"];
  const contenders: Record<string, PreparedCall> = {};
  for (const [i, session] of [stored[0], ...builds, stored[1]].entries()) {
    contenders[names[i]!] = await concurrently(session, options);
  }
  const samples = names.map((): number[] => []);
  const warnings = new Set<string>();
  const { backend, threads } = stored[0];
  for (let look = 0, minMs = firstMs;; look++, minMs *= 2) {
    const lookMs = look === 0 ? minMs : Math.min(minMs, deadlineMs - performance.now());
    const { contenders: times, warnings: said } = await compareLatency({
      contenders,
      baseline: "stored",
      warmupMs: look === 0 ? 200 : 20,
      minMs: lookMs,
      noiseMs: 0,
      minRounds: look === 0 ? 20 : 5,
      seed: seed + look,
      ...(threads !== undefined && { threads }),
      ...(signal && { signal }),
      onRound: ({ elapsedMs }) => options.onProgress?.(Math.min(1, elapsedMs / lookMs)),
    });
    names.forEach((name, i) => samples[i]!.push(...times[name]!.samplesMs));
    said.forEach((warning) => warnings.add(warning));
    const [storedMs, ...buildsMs] = samples.slice(0, -1) as [number[], ...number[][]];
    const timed: Timed = {
      backend,
      concurrency,
      rounds: storedMs.length,
      storedMs: [...storedMs],
      againMs: [...samples.at(-1)!],
      buildsMs: buildsMs.map((build) => [...build]),
      warnings: [...warnings],
    };
    if (options.isEnough(timed) || performance.now() + firstMs > deadlineMs) return timed;
  }
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
