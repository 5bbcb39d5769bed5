/**
 * From a graph to a TensorRT engine on disk: a walk that calls each operator's own emission, then the
 * library's builder. Needs no GPU. The native half is loaded with the first engine, so that importing UNfold
 * needs no `--allow-ffi`.
 */
import type { DownloadProgress } from "../../native/wheel/cache.ts";
import type { Severity } from "../../native/tensorrt/abi/enums.ts";
import type { Flavour } from "../../native/tensorrt/abi/layout.ts";
import type { LibrarySource, LocatedTensorRt } from "../../native/tensorrt/find/locate.ts";
import type { LogLine, Network, ProgressEvent } from "../../native/tensorrt/mod.ts";
import { isRefusal, UnfoldError } from "../errors.ts";
import { type Graph, type Node, topological, uniqueNames } from "../ir/graph.ts";
import { bindShape, fixedShape, namesIn } from "../ir/shape.ts";
import type { DimRange } from "../dsl/model.ts";
import type { TensorRtEmitter } from "../ops/emitter.ts";
import { opOf } from "../ops/table.ts";
import { TENSORRT } from "../rewrite/backends/tensorrt.ts";
import { type PassTrace, runPipeline } from "../rewrite/pass.ts";
import { pause, PAUSE_EVERY_MS } from "../pause.ts";
import { readKeptFile, replaceFile } from "./kept_file.ts";
import { FP4_TARGETS, FP8_TARGETS, type Target, TARGETS } from "./targets.ts";
import type { WeightsListener } from "./layer_weights.ts";
import { NetworkEmitter } from "./tensorrt_network.ts";

export type { Flavour, LibrarySource, LocatedTensorRt, LogLine, ProgressEvent, Severity };

/** How a TensorRT library is looked for. */
export interface LocateOptions {
  /** The library, the folder that holds it, or the folder TensorRT was unpacked to. */
  readonly flag?: string | undefined;
  /** Restricts the search; TensorRT for RTX is preferred otherwise, then an installed Enterprise TensorRT. */
  readonly flavour?: Flavour | undefined;
  /** Never downloads. */
  readonly offline?: boolean | undefined;
  /** Hears of a download. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Ends a download; what was fetched stays for the next. */
  readonly signal?: AbortSignal | undefined;
}

/** Ranges of the open sizes; one record per optimization profile. */
export type Profile = Readonly<Record<string, DimRange>>;

/** How an engine is built. */
export interface EngineOptions {
  /** Where the plan is written: beside it first, then renamed. */
  readonly path: string;
  /** Path of the TensorRT library; found as `locateLibrary` does unless given. */
  readonly library?: string;
  /** At least one where the graph has open sizes. */
  readonly profiles?: readonly Profile[];
  /** 0 (quick to build) to 5 (quick to run); the library's default is 3. */
  readonly optimizationLevel?: number;
  /**
   * Whether fp32 products may be computed in TF32, ten bits of the mantissa of what they multiply; false
   * unless given.
   */
  readonly tf32?: boolean;
  /**
   * The GPUs the engine is for, with TensorRT for RTX: all but Turing ("7.5") unless given, in fp8 from
   * 8.9 on and in fp4 from 12.0 on. Turing takes fp16 alone. Enterprise TensorRT builds for the GPU of this
   * machine.
   */
  readonly targets?: readonly Target[] | undefined;
  /** Whether the engine can be refitted later (`refitPlan`); TensorRT for RTX needs a GPU to build one. */
  readonly refit?: boolean;
  /** Whether weights may stay off the GPU (`deno task profile --weight-streaming-budget SIZE`). */
  readonly weightStreaming?: boolean;
  /**
   * Where kernels' measurements are kept from one build to the next, which makes builds of Enterprise
   * TensorRT quicker and alike; made if it is not there.
   */
  readonly timingCacheFile?: string | undefined;
  /** Whether the graph takes the form that TensorRT compiles best; true unless given. */
  readonly lower?: boolean;
  /** Hears of TensorRT's own phases and their steps. */
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Told what begins: weights go to the library (`emit`), it builds, the plan is written. */
  readonly onPhase?: ((phase: "emit" | "build" | "write") => void) | undefined;
  /** Hears of each line of TensorRT's log. */
  readonly onLog?: (line: LogLine) => void;
  /** Aborting it cancels the build within milliseconds and leaves no file. */
  readonly signal?: AbortSignal | undefined;
}

/** An engine on disk. */
export interface BuiltEngine {
  /** The plan. */
  readonly path: string;
  /** Of the plan. */
  readonly byteLength: number;
  /** Layers of the network that was described, constants included. */
  readonly layers: number;
  /** The library that built it. */
  readonly library: { readonly version: string; readonly flavour: Flavour; readonly path: string };
  /** The passes that made the form that TensorRT compiles best. */
  readonly passes: readonly PassTrace[];
  /** Milliseconds of each phase. */
  readonly phases: { readonly describeMs: number; readonly buildMs: number; readonly writeMs: number };
}

/**
 * Builds `graph` into an engine file.
 *
 * @throws {UnfoldError} a size without a range, an unwritable folder
 * @throws {NativeError} the library cannot be loaded or refuses the network; its words are quoted
 */
export async function buildEngine(graph: Graph, options: EngineOptions): Promise<BuiltEngine> {
  const { loadTensorRt } = await import("../../native/tensorrt/mod.ts");
  const { path, signal, onProgress, onPhase, profiles = [], timingCacheFile } = options;
  const library = options.library ?? (await locateLibrary(signal && { signal })).path;
  using trt = loadTensorRt(library);
  using _log = options.onLog && trt.addLogListener(options.onLog);
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  using config = builder.createConfig();

  const started = performance.now();
  onPhase?.("emit");
  const { graph: lowered, trace } = options.lower === false
    ? { graph, trace: [] }
    : runPipeline(graph, TENSORRT);
  await describeNetwork(network, lowered, { signal });
  for (const profile of profilesOf(graph, profiles)) config.addProfile(profile);
  if (options.optimizationLevel !== undefined) config.setOptimizationLevel(options.optimizationLevel);
  if (options.refit) config.setFlag("refit");
  if (options.weightStreaming) config.setWeightStreaming();
  // The library's own default is to round to TF32.
  config.setFlag("tf32", options.tf32 === true);
  const targets = options.targets ?? (trt.flavour === "rtx" ? targetsOf(lowered) : undefined);
  if (targets !== undefined) config.setComputeCapabilities(targets);
  const cached = timingCacheFile === undefined ? undefined : await readKeptFile(timingCacheFile);
  if (cached !== undefined) config.setTimingCache(cached);
  config.setProfilingVerbosity("detailed");
  config.setProgress(onProgress, signal);
  const described = performance.now();
  onPhase?.("build");
  using plan = await builder.build(network, config).catch((error: unknown) => {
    if (!(options.refit && trt.flavour === "rtx" && isRefusal(error))) throw error;
    throw new UnfoldError(
      `${error.message}\nTensorRT for RTX builds engines whose weights can be replaced only where there is a GPU that it ` +
        `runs on: compute capability ${TARGETS.join(", ")}`,
      { cause: error },
    );
  });
  const built = performance.now();
  onPhase?.("write");
  const { byteLength } = plan.bytes;
  await replaceFile(path, plan.bytes, { signal });
  const cache = config.timingCache();
  if (timingCacheFile !== undefined && cache !== undefined) await replaceFile(timingCacheFile, cache);
  return {
    path,
    byteLength,
    layers: network.layerCount,
    library: { version: trt.version, flavour: trt.flavour, path: library },
    passes: trace,
    phases: {
      describeMs: described - started,
      buildMs: built - described,
      writeMs: performance.now() - built,
    },
  };
}

/** The GPUs that a graph's element types leave; undefined where that is TensorRT for RTX's own choice. */
function targetsOf(graph: Graph): readonly Target[] | undefined {
  const types = new Set(topological(graph).map(({ type }) => type.dtype));
  return types.has("fp4") ? FP4_TARGETS : types.has("fp8") ? FP8_TARGETS : undefined;
}

/** Finds the TensorRT library, downloading it once where there is none; see `locateTensorRt`. */
export async function locateLibrary(options: LocateOptions = {}): Promise<LocatedTensorRt> {
  const { locateTensorRt } = await import("../../native/tensorrt/find/locate.ts");
  return await locateTensorRt(options);
}

/** Adds every node of `graph` to an empty network; `onWeights` is called for each weight, with its layer. */
export async function describeNetwork(
  network: Network,
  graph: Graph,
  { onWeights, signal }: { onWeights?: WeightsListener; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const emitter = new NetworkEmitter(network, graph, onWeights);
  const names = uniqueNames(graph);
  const values = new Map<Node, EmittedValue>();
  let paused = performance.now();
  for (const node of topological(graph)) {
    // Its weights are made here, which takes a large network seconds.
    if (performance.now() - paused > PAUSE_EVERY_MS) {
      await pause(signal);
      paused = performance.now();
    }
    emitter.begin(names.get(node)!);
    values.set(node, named(names.get(node)!, () => emitNode(emitter, node, values)));
  }
  for (const { name, node } of graph.outputs) emitter.output(values.get(node)!, name);
}

type EmittedValue = ReturnType<NetworkEmitter["input"]>;

function emitNode(
  emitter: NetworkEmitter,
  node: Node,
  values: ReadonlyMap<Node, EmittedValue>,
): EmittedValue {
  if (node.op === "input") return emitter.input(node);
  const inputs = node.inputs.map((input) => values.get(input)!);
  return opOf(node).tensorrt(emitter as TensorRtEmitter, inputs, node.attrs, node) as EmittedValue;
}

/** Runs `emit`; what goes wrong in it is said of the node it happened at. */
function named<Value>(name: string, emit: () => Value): Value {
  try {
    return emit();
  } catch (error) {
    if (!isRefusal(error) || error.message.includes(name)) throw error;
    throw new UnfoldError(`${name}: ${error.message}`, { cause: error });
  }
}

/** Shapes of every input with open sizes, per profile. */
function profilesOf(graph: Graph, profiles: readonly Profile[]) {
  const open = graph.inputs.filter(({ type }) => type.shape.some((dim) => typeof dim !== "number"));
  if (open.length === 0) return [];
  const names = [...new Set(open.flatMap(({ type }) => type.shape.flatMap(namesIn)))];
  if (profiles.length === 0) throw missingRange(graph, names[0]!);
  return profiles.map((profile) => {
    const missing = names.find((name) => profile[name] === undefined);
    if (missing !== undefined) throw missingRange(graph, missing);
    return new Map(open.map(({ name, type }) => {
      const at = (end: keyof DimRange) => {
        const values = Object.fromEntries(names.map((dim) => [dim, profile[dim]![end]]));
        return [...fixedShape(bindShape(type.shape, values), `the input ${name}`)];
      };
      return [name, { min: at("min"), opt: at("opt"), max: at("max") }];
    }));
  });
}

function missingRange(graph: Graph, name: string): UnfoldError {
  const how = name === "B"
    ? "give --batch"
    : `give its range, as in --dim ${name}=1:128:512, or by the model: dims: { ${name}: { min, opt, max } }`;
  return new UnfoldError(`${graph.name}: the size ${name} is open and has no range; ${how}`);
}
