/**
 * TensorRT engines on a GPU: whether one can run here, and a session for it. The native half is loaded inside
 * the functions, so that importing this file needs no `--allow-ffi`; calling them does. CUDA's device 0 is
 * used (CUDA_VISIBLE_DEVICES says which that is). How a session works is in `session.ts`.
 */
import { fileURLToPath } from "node:url";
import type { Cuda } from "../../../native/cuda/mod.ts";
import { targetsOfPlan } from "../../emit/targets.ts";
import type { Engine, Flavour, Runtime, TensorRt } from "../../../native/tensorrt/mod.ts";
import { UnfoldError } from "../../errors.ts";
import type { Session } from "../session.ts";
import { TensorRtSession } from "./session.ts";

/** As `Runtime.engineValidity` says it. */
const OTHER_GPU = "it was not built for this GPU's compute capability";

/** A download on its way. */
export interface GpuProgress {
  /** What is going on. */
  readonly text: string;
  /** How much of it is done, from 0 to 1. */
  readonly fraction: number;
}

/** What an engine is run with on this machine's GPU. */
export interface GpuOptions {
  /** Path of the TensorRT library, as `locateLibrary` finds it. */
  readonly library: string;
  /** Path of the CUDA runtime; default: where there is a driver, one that is found, else downloaded once. */
  readonly cudartPath?: string | undefined;
  /** Hears of the CUDA runtime's download; `signal` ends it. */
  readonly onProgress?: ((progress: GpuProgress) => void) | undefined;
  /** Ends the CUDA runtime's download. */
  readonly signal?: AbortSignal | undefined;
}

export interface PlanOptions extends GpuOptions {
  /** The only optimization profile to use; default: for each feeds the nearest that takes them. */
  readonly profile?: number;
}

/** A GPU that runs engines of a TensorRT library. */
export interface Gpu {
  /** "NVIDIA GeForce RTX 4090". */
  readonly name: string;
  /** "8.9". */
  readonly computeCapability: string;
  /** CUDA version of the driver, "13.0". */
  readonly driverVersion: string;
  /** Both, for people and fingerprints: "TensorRT for RTX 1.7.1, NVIDIA GeForce RTX 4090 (8.9)". */
  readonly backend: string;
}

/** Why no engine can run here: a phrase that follows "because" or a colon. */
export interface NoGpu {
  readonly unavailable: string;
}

/**
 * Finds out whether engines can run here. Where there is no device it answers within milliseconds, without
 * opening TensorRT and without an error: a machine without a GPU is no mistake.
 *
 * @example
 * ```ts ignore
 * const gpu = await findGpu({ library });
 * console.log("unavailable" in gpu ? `on the CPU: ${gpu.unavailable}` : gpu.backend);
 * ```
 */
export async function findGpu(options: GpuOptions): Promise<Gpu | NoGpu> {
  const opened = await openGpu(options);
  if ("unavailable" in opened) return opened;
  using _cuda = opened.cuda;
  using _trt = opened.trt;
  return opened.gpu;
}

/**
 * Loads an engine onto the GPU.
 *
 * @param plan the bytes of an engine file, or its path
 * @throws {UnfoldError} no GPU that runs it, a file that cannot be read, no such profile
 * @throws {NativeError} TensorRT refuses the plan or CUDA fails; their words are quoted
 *
 * @example
 * ```ts ignore
 * await using session = await sessionFromPlan("un.plan", { library });
 * const call = await session.prepare(feeds);
 * console.log(`${await call()} ms on ${session.backend}`);
 * ```
 */
export async function sessionFromPlan(
  plan: Uint8Array | string | URL,
  { profile, ...options }: PlanOptions,
): Promise<Session> {
  const { engine, cuda, gpu, owned } = await loadPlan(plan, options);
  try {
    return new TensorRtSession({ engine, cuda, backend: gpu.backend, profile, owned });
  } catch (error) {
    await owned.disposeAsync();
    throw error;
  }
}

/** @ignore An engine on the GPU, and what is to be disposed with it. */
export interface LoadedPlan extends OpenGpu {
  readonly engine: Engine;
  readonly plan: Uint8Array;
  readonly owned: AsyncDisposableStack;
}

/** @ignore For the files beside this one; what can go wrong is `sessionFromPlan`'s. */
export async function loadPlan(plan: Uint8Array | string | URL, options: GpuOptions): Promise<LoadedPlan> {
  const bytes = plan instanceof Uint8Array ? plan : await readPlan(plan);
  const opened = await openGpu(options);
  if ("unavailable" in opened) {
    throw new UnfoldError(`the engine cannot run here: ${opened.unavailable}`);
  }
  // Disposed in reverse: contexts, engine and runtime go before the device memory and the streams they use.
  const owned = new AsyncDisposableStack();
  try {
    owned.use(opened.cuda);
    const runtime = owned.use(opened.trt).createRuntime();
    const otherGpu = otherGpuText(runtime, bytes, opened);
    if (otherGpu !== undefined) throw new UnfoldError(otherGpu);
    const engine = await runtime.deserialize(bytes);
    return { ...opened, engine, plan: bytes, owned };
  } catch (error) {
    await owned.disposeAsync();
    throw error;
  }
}

/** Why the plan does not run on the GPU, where it was built for others; RTX alone tells. */
function otherGpuText(runtime: Runtime, plan: Uint8Array, { trt, gpu }: OpenGpu): string | undefined {
  if (trt.flavour !== "rtx" || !runtime.engineValidity(plan).reasons.includes(OTHER_GPU)) return undefined;
  const targets = targetsOfPlan(plan);
  const { name, computeCapability } = gpu;
  return `the engine was not built for the ${name} (compute capability ${computeCapability})` +
    `${
      targets === null ? "" : `, but for ${targets.join(", ")}`
    }; build it with --target ${computeCapability}`;
}

/** Why engines of a TensorRT flavour do not run on a GPU; `undefined` where nothing is known against it. */
export function unsupported(
  flavour: Flavour,
  { name, computeCapability }: Pick<Gpu, "name" | "computeCapability">,
): string | undefined {
  // TensorRT for RTX 1.7's support matrix; Hopper (9.0) and data-centre Blackwell (10.x) are not on it. Of a
  // plan on an H200 1.7.1 says so itself: "TensorRT-RTX does not support this compute capability".
  if (flavour === "rtx" && !/^(7\.5|8\.\d|12\.\d)$/.test(computeCapability)) {
    return `TensorRT for RTX does not run on the ${name} (compute capability ${computeCapability}; it takes 7.5, 8.x ` +
      `and 12.x); NVIDIA's Enterprise TensorRT does, choose it with --tensorrt-lib`;
  }
  return undefined;
}

/** @ignore Both libraries of a GPU, opened; disposing them is the caller's. */
export interface OpenGpu {
  readonly cuda: Cuda;
  readonly trt: TensorRt;
  readonly gpu: Gpu;
}

/** @ignore For the files beside this one. */
async function openGpu(
  { library, cudartPath, onProgress, signal }: GpuOptions,
): Promise<OpenGpu | NoGpu> {
  const { NativeError } = await import("../../../native/error.ts");
  using owned = new DisposableStack();
  try {
    const { loadCuda, locateCuda } = await import("../../../native/cuda/mod.ts");
    const path = cudartPath ?? await locateCuda({
      beside: library,
      onProgress: ({ doneBytes, totalBytes }) =>
        onProgress?.({ text: "downloading the CUDA runtime, once", fraction: doneBytes / totalBytes }),
      signal,
    });
    const cuda = owned.use(loadCuda({ path }));
    const problem = cuda.deviceProblem();
    if (problem !== undefined) return { unavailable: problemText(problem, cuda.runtimeVersion) };
    const device = cuda.device();
    const { loadTensorRt } = await import("../../../native/tensorrt/mod.ts");
    const trt = owned.use(loadTensorRt(library));
    const unavailable = unsupported(trt.flavour, device);
    if (unavailable !== undefined) return { unavailable };
    const { name, computeCapability, driverVersion } = device;
    const backend = `${trt.flavour === "rtx" ? "TensorRT for RTX" : "TensorRT"} ${trt.version}, ` +
      `${name} (${computeCapability})`;
    owned.move();
    return { cuda, trt, gpu: { name, computeCapability, driverVersion, backend } };
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    if (error.message.includes("--allow-ffi")) return { unavailable: "Deno was not given --allow-ffi" };
    return { unavailable: error.message.replaceAll(/\s*\n\s*/g, " ") };
  }
}

/** The first driver of each major version of CUDA, which serves all of its minor versions. */
const FIRST_DRIVERS: Readonly<Record<string, number>> = { "12": 525, "13": 580 };

/** @ignore CUDA's sentence for a missing driver speaks of versions only. */
export function problemText(problem: string, runtimeVersion: string): string {
  if (/cudaErrorInsufficientDriver/.test(problem)) {
    const [major] = runtimeVersion.split(".") as [string];
    return `there is no NVIDIA driver, or one older than ${FIRST_DRIVERS[major] ?? `CUDA ${major}`}`;
  }
  return /cudaErrorNoDevice/.test(problem) ? "CUDA finds no device" : problem;
}

async function readPlan(plan: string | URL): Promise<Uint8Array> {
  try {
    return await Deno.readFile(plan);
  } catch (error) {
    const path = plan instanceof URL ? fileURLToPath(plan) : plan;
    const reason = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : error instanceof Deno.errors.NotCapable
      ? "Deno was not given --allow-read for it"
      : error instanceof Error
      ? error.message
      : String(error);
    throw new UnfoldError(`the engine ${path} cannot be read: ${reason}`, { cause: error });
  }
}
