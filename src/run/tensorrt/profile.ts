/**
 * Profiles an engine on a GPU as trtexec does: inferences over one or more streams for a while, their times
 * taken by the GPU's events, then its layers in runs of their own, and the clocks meanwhile. Everything made
 * for it is gone when it ends, however it ends.
 */
import type { Cuda } from "../../../native/cuda/mod.ts";
import type { Engine, RuntimeCache } from "../../../native/tensorrt/mod.ts";
import {
  type ClockReading,
  type LayerTime,
  layerTimes,
  type ProfileFigures,
  profileFigures,
  profileWarnings,
  type QueryTrace,
  withoutWarmUp,
} from "../profile.ts";
import { type GpuOptions, loadPlan } from "./engine.ts";
import { chooseShapes } from "./binding.ts";
import { Clocks } from "./clocks.ts";
import { Lane } from "./lane.ts";

/** Names and defaults are trtexec 10's. */
export interface ProfileOptions extends GpuOptions {
  /** Of inputs with open sizes; default: what the profile is tuned for. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** The optimization profile; default: the one tuned nearest to `shapes`, else 0. */
  readonly profile?: number;
  /** Milliseconds of inferences that do not count; default 200. */
  readonly warmUpMs?: number;
  /** At least so long, in milliseconds (default 3000) ... */
  readonly durationMs?: number;
  /** ... and so many inferences (default 10) per stream, after the warm-up. */
  readonly iterations?: number;
  /** Inferences under way on as many contexts and CUDA streams; default 1. */
  readonly infStreams?: number;
  /** Whether each inference is captured once and launched as a CUDA graph; default false. */
  readonly cudaGraph?: boolean;
  /** Whether inputs are copied to the GPU and outputs back with every inference; default true. */
  readonly transfers?: boolean;
  /** Which percentiles distributions have, from 0 to 100; default 90, 95 and 99. */
  readonly percentiles?: readonly number[];
  /** Runs whose layers are timed, after the measurement; default 0. */
  readonly layerRuns?: number;
  /** Device memory for weights that can be streamed. */
  readonly weightStreamingBudget?: number | "automatic" | { readonly percent: number };
  /** Kernels that TensorRT for RTX has compiled before, as `runtimeCache` of a result; empty: none yet. */
  readonly runtimeCache?: Uint8Array;
  /** NVML; default: the driver's. */
  readonly nvmlPath?: string;
  /** How long an engine with open sizes runs before all else; default 500. See SETTLE_MS in session.ts. */
  readonly settleMs?: number;
}

/** An engine, as it was measured on this machine's GPU. */
export interface EngineProfile {
  /** "TensorRT for RTX 1.7.1, NVIDIA GeForce RTX 4090 (8.9)". */
  readonly backend: string;
  /** The CUDA version of the driver, "13.0". */
  readonly driverVersion: string;
  /** What the engine says of itself; sizes in bytes. */
  readonly engine: {
    readonly name: string;
    readonly planBytes: number;
    /** Device memory of one context's activations. */
    readonly activationBytes: number;
    readonly layers: number;
    readonly refittable: boolean;
    /** RTX only. */
    readonly validity?: "valid" | "suboptimal" | "invalid";
    readonly streamableWeightBytes: number;
    /** Where it was set. */
    readonly weightStreamingBudget?: number;
  };
  /** The optimization profile that was used. */
  readonly profile: number;
  /** Of the inputs. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** Inferences under way at once. */
  readonly infStreams: number;
  /** Whether they were launched as CUDA graphs. */
  readonly cudaGraph: boolean;
  /** Whether inputs and outputs were copied with every inference. */
  readonly transfers: boolean;
  /** trtexec's performance summary. */
  readonly figures: ProfileFigures;
  /** Of the inferences that count. */
  readonly traces: readonly QueryTrace[];
  /** Times of the layers; with `layerRuns`. */
  readonly layers?: { readonly runs: number; readonly times: readonly LayerTime[] };
  /** What the engine says of its layers (IEngineInspector); with `layerRuns`. */
  readonly layerInformation?: unknown;
  /** Readings while measuring, or why there are none. */
  readonly clocks: readonly ClockReading[] | { readonly unavailable: string };
  /** What makes the figures less trustworthy, as sentences. */
  readonly warnings: readonly string[];
  /** Kernels that TensorRT for RTX has compiled, for a later run. */
  readonly runtimeCache?: Uint8Array;
}

/**
 * Profiles the engine in `plan`.
 *
 * @param plan the bytes of an engine file, or its path
 * @throws {UnfoldError} no GPU that runs it, an unknown input, sizes no profile takes
 * @throws {NativeError} TensorRT or CUDA refuse; their words are quoted
 *
 * @example
 * ```ts ignore
 * const { figures } = await profilePlan("un.plan", { library, infStreams: 2, cudaGraph: true });
 * console.log(`${figures.throughputQps} inferences a second`);
 * ```
 */
export async function profilePlan(
  plan: Uint8Array | string | URL,
  options: ProfileOptions,
): Promise<EngineProfile> {
  const { warmUpMs = 200, durationMs = 3000, iterations = 10, infStreams = 1, layerRuns = 0 } = options;
  const { cudaGraph = false, transfers = true } = options;
  const loaded = await loadPlan(plan, options);
  await using _owned = loaded.owned;
  const { engine, cuda, gpu, trt } = loaded;
  await using clocks = await Clocks.open(cuda, options.nvmlPath);
  const validity = validityOf(trt, loaded.plan);
  const budget = setBudget(engine, options.weightStreamingBudget);
  const { profile, shapes } = chooseShapes(engine, options);
  const cache = options.runtimeCache && engine.createRuntimeCache(options.runtimeCache);

  const lanes: Lane[] = [];
  const notes: string[] = [];
  for (let index = 0; index < infStreams; index++) {
    options.signal?.throwIfAborted();
    lanes.push(await Lane.open({ engine, cuda, cache, index, profile, shapes, transfers }));
  }
  // Work that is still under way reads what is freed next.
  await using _quiet = { [Symbol.asyncDispose]: () => quiet(lanes) };
  await settle(lanes, engine, options);
  const refusals = cudaGraph ? lanes.map((lane) => lane.capture()).filter((why) => why !== undefined) : [];
  if (refusals.length > 0) notes.push(`without a CUDA graph, since it was refused: ${refusals[0]}`);

  const all = await measure(lanes, { cuda, clocks, warmUpMs, durationMs, iterations, options });
  const figures = profileFigures(all, { warmUpMs, ...pick(options, "percentiles") });
  const layers = layerRuns === 0
    ? undefined
    : await timeLayers(engine, { cuda, cache, profile, shapes, layerRuns, ...pick(options, "signal") });
  const readings = clocks.readings;
  return {
    backend: gpu.backend,
    driverVersion: gpu.driverVersion,
    engine: {
      name: engine.name,
      planBytes: loaded.plan.byteLength,
      activationBytes: engine.activationBytes,
      layers: engine.layerCount,
      refittable: engine.isRefittable,
      ...(validity !== undefined && { validity }),
      streamableWeightBytes: engine.streamableWeightBytes,
      ...(budget !== undefined && { weightStreamingBudget: budget }),
    },
    profile,
    shapes: Object.fromEntries(shapes),
    infStreams,
    cudaGraph: cudaGraph && refusals.length === 0,
    transfers,
    figures,
    traces: withoutWarmUp(all, warmUpMs),
    ...layers,
    clocks: clocks.unavailable === undefined ? readings : { unavailable: clocks.unavailable },
    warnings: [...notes, ...profileWarnings(figures, { streams: infStreams, clocks: readings })],
    ...(cache && { runtimeCache: cache.bytes() }),
  };
}

function setBudget(engine: Engine, budget: ProfileOptions["weightStreamingBudget"]): number | undefined {
  if (budget === undefined) return undefined;
  return engine.setWeightStreamingBudget(
    typeof budget === "object" ? Math.floor(budget.percent / 100 * engine.streamableWeightBytes) : budget,
  );
}

/** Only with TensorRT for RTX. */
function validityOf(
  trt: Awaited<ReturnType<typeof loadPlan>>["trt"],
  plan: Uint8Array,
): EngineProfile["engine"]["validity"] {
  if (trt.flavour !== "rtx") return undefined;
  using runtime = trt.createRuntime();
  return runtime.engineValidity(plan).validity;
}

/** Kernels for open sizes are compiled on threads of the library's own, while others run. */
async function settle(
  lanes: readonly Lane[],
  engine: Engine,
  { settleMs = 500, signal }: ProfileOptions,
): Promise<void> {
  const isOpen = engine.ioTensors().some(({ dims }) => dims.includes(-1));
  const start = performance.now();
  do {
    signal?.throwIfAborted();
    for (const lane of lanes) await lane.runOnce();
  } while (isOpen && performance.now() - start < settleMs);
}

/** How long the event loop is kept from the library's log, from progress and from Ctrl-C. */
const TURN_MS = 50;

async function measure(
  lanes: readonly Lane[],
  { cuda, clocks, warmUpMs, durationMs, iterations, options: { onProgress, signal } }: {
    cuda: Cuda;
    clocks: Clocks;
    warmUpMs: number;
    durationMs: number;
    iterations: number;
    options: ProfileOptions;
  },
): Promise<QueryTrace[]> {
  const traces: QueryTrace[] = [];
  using start = cuda.createEvent();
  start.record(lanes[0]!.stream);
  for (const lane of lanes) lane.stream.wait(start);
  const startedAt = performance.now();
  const now = () => performance.now() - startedAt;
  const untilMs = warmUpMs + durationMs;
  let turnAt = startedAt;
  let reachedMs = 0;
  let counted = 0;
  while (counted < iterations || reachedMs < untilMs) {
    for (const lane of lanes) lane.enqueue(now);
    for (const lane of lanes) {
      const trace = lane.collect(start);
      if (trace === undefined) continue;
      traces.push(trace);
      reachedMs = Math.max(reachedMs, trace.startComputeMs);
    }
    if (reachedMs >= warmUpMs) counted++;
    if (performance.now() - turnAt < TURN_MS) continue;
    clocks.read();
    onProgress?.({ text: "measuring", fraction: Math.min(1, reachedMs / untilMs) });
    await new Promise((done) => setTimeout(done, 0));
    signal?.throwIfAborted();
    turnAt = performance.now();
  }
  clocks.read();
  for (const lane of lanes) {
    for (let trace = lane.collect(start, { all: true }); trace; trace = lane.collect(start, { all: true })) {
      traces.push(trace);
    }
  }
  return traces;
}

async function timeLayers(
  engine: Engine,
  { layerRuns, signal, ...parts }: {
    cuda: Cuda;
    cache: RuntimeCache | undefined;
    profile: number;
    shapes: ReadonlyMap<string, readonly number[]>;
    layerRuns: number;
    signal?: AbortSignal | undefined;
  },
): Promise<Pick<EngineProfile, "layers" | "layerInformation">> {
  const lane = await Lane.open({ engine, ...parts, index: 0, transfers: false });
  // Compiled before, but this context has not run yet.
  await lane.runOnce();
  const runs: { layer: string; ms: number }[][] = [];
  lane.context.setLayerListener((layer, ms) => void runs.at(-1)!.push({ layer, ms }));
  for (let run = 0; run < layerRuns; run++) {
    signal?.throwIfAborted();
    runs.push([]);
    await lane.runOnce();
    await lane.context.reportLayers();
  }
  return {
    layers: { runs: layerRuns, times: layerTimes(runs) },
    layerInformation: JSON.parse(engine.inspect(lane.context)),
  };
}

async function quiet(lanes: readonly Lane[]): Promise<void> {
  // A failed stream has said so where it was used.
  for (const { stream } of lanes) await stream.synchronize().catch(() => {});
}

/** A property where it is set. */
function pick<T extends object, K extends keyof T>(from: T, key: K): Partial<Pick<T, K>> {
  return from[key] === undefined ? {} : { [key]: from[key] } as unknown as Pick<T, K>;
}
