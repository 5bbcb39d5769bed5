/**
 * Finds the CUDA runtime on a machine with an NVIDIA driver: beside TensorRT, on the system, in a Python
 * package, known to the system's loader, in UNfold's cache, or by downloading it once (2.5 MB). It promises
 * that without a driver, where no runtime is of use, nothing is searched and nothing is downloaded. It leaves
 * out opening it (`load.ts`).
 */
import { dirname, join } from "node:path";
import { NativeError } from "../error.ts";
import { fileProblem } from "../system/binary_file.ts";
import { type Platform, readEnvironment, THIS_PLATFORM } from "../system/environment.ts";
import { usualPlaces } from "../system/places.ts";
import { namesIn } from "../system/search.ts";
import { wheelFiles } from "../wheel/files.ts";
import { type LibrarySearchOptions, pinOf, platformName } from "../wheel/library.ts";
import { libraryName } from "../wheel/pin.ts";
import { driverProblem, nvidiaNames, opens } from "./names.ts";
import { CUDA_RUNTIME_PACKAGE, CUDA_RUNTIME_PINS, CUDA_RUNTIME_VERSION } from "./pins.ts";

export interface LocateCudaOptions extends LibrarySearchOptions {
  /** A library beside which a CUDA runtime may lie, as it does beside TensorRT in some packages. */
  readonly beside?: string | undefined;
  /** What the system's loader is asked for, instead of NVIDIA's names; for tests. */
  readonly names?: { readonly driver: string; readonly cudart: readonly string[] } | undefined;
}

/** Where a CUDA runtime lies in a site-packages folder: CUDA 13's, CUDA 12's, ONNX Runtime's plug-in. */
const PACKAGE_FOLDERS = [
  join("nvidia", "cu13", "lib"),
  join("nvidia", "cu13", "bin", "x86_64"),
  join("nvidia", "cu13", "bin", "arm64"),
  join("nvidia", "cu13", "bin"),
  join("nvidia", "cuda_runtime", "lib"),
  join("nvidia", "cuda_runtime", "bin"),
  "onnxruntime_ep_nv_tensorrt_rtx",
];

const NEWEST_FIRST = new Intl.Collator("en", { numeric: true });

/**
 * The absolute path of a CUDA runtime (12 or 13), or a name by which the system's loader finds one.
 *
 * Throws NativeError, in one line, when there is no driver, or no runtime and none to be had; rejects with
 * the signal's reason once it is aborted. Needs --allow-ffi, --allow-read and --allow-env for
 * `ENVIRONMENT_NAMES`; a download also --allow-write and --allow-net.
 *
 * @example
 * ```ts ignore
 * using cuda = loadCuda({ path: await locateCuda({ beside: library }) });
 * ```
 */
export async function locateCuda(options: LocateCudaOptions = {}): Promise<string> {
  const { beside, platform = THIS_PLATFORM, environment = readEnvironment() } = options;
  const names = options.names ?? nvidiaNames(platform);
  const problem = driverProblem(names.driver);
  if (problem !== undefined) throw new NativeError(problem);
  const places = options.places ?? await usualPlaces(environment, platform);
  const folders = new Set([
    ...(beside === undefined ? [] : [dirname(beside), dirname(await realPath(beside))]),
    ...places.system,
    ...places.python.flatMap((place) => PACKAGE_FOLDERS.map((folder) => join(place, folder))),
  ]);
  for (const folder of folders) {
    const path = await runtimeIn(folder, platform);
    if (path !== undefined) return path;
  }
  return names.cudart.find(opens) ?? await fetched(options);
}

/** The newest CUDA runtime in a folder. */
async function runtimeIn(folder: string, platform: Platform): Promise<string | undefined> {
  const { cudartFile } = nvidiaNames(platform);
  const names = await namesIn(folder) ?? [];
  for (const name of names.filter((name) => cudartFile.test(name)).sort(NEWEST_FIRST.compare).reverse()) {
    const path = join(folder, name);
    if (await fileProblem(path, platform) === undefined) return path;
  }
  return undefined;
}

async function fetched({ platform = THIS_PLATFORM, ...options }: LocateCudaOptions): Promise<string> {
  const pin = options.pin ?? pinOf(CUDA_RUNTIME_PINS, platform);
  try {
    if (pin === undefined) throw new NativeError(`NVIDIA publishes none for ${platformName(platform)}`);
    return (await wheelFiles(pin, options))[libraryName(pin)]!;
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    throw new NativeError(
      "no CUDA runtime library (libcudart 12 or 13) is beside TensorRT, on the system or in a Python package, and " +
        `${error.message}; or install CUDA, or: pip install ${CUDA_RUNTIME_PACKAGE}==${CUDA_RUNTIME_VERSION}`,
      { cause: error },
    );
  }
}

async function realPath(path: string): Promise<string> {
  return await Deno.realPath(path).catch(() => path);
}
