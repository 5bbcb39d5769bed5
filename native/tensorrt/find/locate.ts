/**
 * Finds the TensorRT library: named by the user, on the system, in a Python package, in UNfold's cache, or by
 * downloading it once. It promises that a path the user names is used or refused, never passed over, and that
 * a failure lists everything that was tried and three ways out. It leaves out loading the library and asking
 * it its version (`load.ts`).
 */

import { join } from "node:path";
import { NativeError } from "../../error.ts";
import { fileProblem } from "../../system/binary_file.ts";
import { type Environment, type Platform, readEnvironment, THIS_PLATFORM } from "../../system/environment.ts";
import { type Places, usualPlaces } from "../../system/places.ts";
import { namedPath } from "../../system/search.ts";
import { cacheFolder, findCached, pinFolder } from "../../wheel/cache.ts";
import { downloadWheel } from "../../wheel/download.ts";
import { libraryIn, type LibrarySearchOptions, pinOf } from "../../wheel/library.ts";
import type { LibraryPin } from "../../wheel/pin.ts";
import { DEFAULT_INDEX_URL } from "../../wheel/pip_settings.ts";
import type { Flavour } from "../abi/layout.ts";
import { knownVersions } from "../abi/versions.ts";
import { type LibraryFile, readLibraryFolder } from "./library_files.ts";
import { LIBRARY_SUBFOLDERS, PACKAGE_FOLDERS } from "./package_folders.ts";
import { exampleName, pinFor, PINNED_PACKAGE, PINNED_PACKAGE_VERSION, PINS } from "./pinned.ts";

export { ENVIRONMENT_NAMES } from "../../system/environment.ts";
export type { Environment, EnvironmentName } from "../../system/environment.ts";
export type { DownloadProgress } from "../../wheel/cache.ts";

/** Where a library was found; `flag` and `environment` are where the user named it. */
export type LibrarySource = "flag" | "environment" | "system" | "python" | "cache" | "download";

/** A TensorRT library on disk. */
export interface LocatedTensorRt {
  /** Absolute path of the library. */
  readonly path: string;
  /** Where it was found. */
  readonly source: LibrarySource;
  /** What was tried, a line each, up to the step that found it. */
  readonly tried: readonly string[];
}

/** How a TensorRT library is looked for. */
export interface LocateOptions extends LibrarySearchOptions {
  /** `--tensorrt-lib`: the library, the folder that holds it, or the folder TensorRT was unpacked to. */
  readonly flag?: string | undefined;
  /** Restricts the search; TensorRT for RTX is preferred otherwise, then an installed Enterprise TensorRT. */
  readonly flavour?: Flavour | undefined;
}

/**
 * Finds a TensorRT library, in this order: `flag`, `UNFOLD_TENSORRT_LIB`, the system's library folders,
 * installed Python packages, the cache; an Enterprise TensorRT on the system or in a Python package; and at
 * last a download into the cache, about 95 MB, resumed where an earlier one was interrupted.
 *
 * Throws NativeError when the user named something that is not a usable library, or when every step failed;
 * rejects with the signal's reason once it is aborted. Needs --allow-read and --allow-env for
 * `ENVIRONMENT_NAMES`; a download also --allow-write and --allow-net.
 *
 * @example
 * ```ts ignore
 * const { path, source } = await locateTensorRt({ onProgress: ({ doneBytes }) => console.error(doneBytes) });
 * ```
 */
export async function locateTensorRt(options: LocateOptions = {}): Promise<LocatedTensorRt> {
  const { flag, flavour, platform = THIS_PLATFORM, environment = readEnvironment() } = options;
  const tried: string[] = [];
  const places = options.places ?? await usualPlaces(environment, platform);
  const pin = options.pin ?? pinOf(PINS, platform);
  const cache = cacheFolder(environment, platform);
  const search: Search = { places, platform, environment, tried, pin, cache };

  if (flag !== undefined) return await named(flag, { ...search, source: "flag", by: "--tensorrt-lib" });
  tried.push("--tensorrt-lib: not given");
  const variable = environment.UNFOLD_TENSORRT_LIB;
  if (variable) {
    return await named(variable, { ...search, source: "environment", by: "UNFOLD_TENSORRT_LIB" });
  }
  tried.push("UNFOLD_TENSORRT_LIB: not set");

  const installed = await findInstalled(search);
  const rtx = installed.find(({ library }) => library.flavour === "rtx");
  if (rtx !== undefined && flavour !== "enterprise") return found(rtx, search);

  if (flavour !== "enterprise" && pin !== undefined && cache !== undefined) {
    const cached = await findCached(pin, cache);
    if (!("missing" in cached)) return { path: libraryIn(cached, pin), source: "cache", tried };
    tried.push(`cache: ${pinFolder(pin, cache)}: ${cached.missing}`);
  }
  const enterprise = installed.find(({ library }) => library.flavour === "enterprise");
  if (enterprise !== undefined && flavour !== "rtx") return found(enterprise, search);

  try {
    if (flavour === "enterprise") throw new NativeError("UNfold cannot fetch Enterprise TensorRT");
    if (options.offline === true) throw new NativeError("UNfold was told to stay offline");
    if (cache === undefined) throw new NativeError("nowhere to keep it: set HOME or XDG_CACHE_HOME");
    const { onProgress, signal } = options;
    const wanted = pin ?? pinFor(platform);
    const fetched = await downloadWheel(wanted, { cache, environment, onProgress, signal });
    return { path: libraryIn(fetched, wanted), source: "download", tried };
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    throw nothingFound(error, search);
  }
}

interface Search {
  readonly places: Places;
  readonly platform: Platform;
  readonly environment: Environment;
  readonly tried: string[];
  readonly pin: LibraryPin | undefined;
  readonly cache: string | undefined;
}

interface Installed {
  readonly library: LibraryFile;
  readonly source: "system" | "python";
}

/** A library the user named: used, or the reason why not. */
async function named(
  text: string,
  search: Search & { readonly source: "flag" | "environment"; readonly by: string },
): Promise<LocatedTensorRt> {
  const { by, source, platform, environment, tried } = search;
  const advice = `give the library (${exampleName(platform)}) or the folder that holds it`;
  const { path, isFile } = await namedPath(text, { by, advice, environment, platform });
  if (isFile) {
    const problem = await fileProblem(path, platform);
    if (problem !== undefined) throw new NativeError(`${by}: ${path}: ${problem}; ${advice}`);
    tried.push(`${by}: ${path}`);
    return { path, source, tried };
  }
  const contents = await Promise.all(
    [...LIBRARY_SUBFOLDERS, ...PACKAGE_FOLDERS].map((subfolder) =>
      readLibraryFolder(join(path, subfolder), platform)
    ),
  );
  const libraries = contents.flatMap(({ libraries }) => libraries);
  const library = libraries.find(({ flavour }) => flavour === "rtx") ?? libraries[0];
  if (library !== undefined) {
    tried.push(`${by}: ${library.path}`);
    return { path: library.path, source, tried };
  }
  const unusable = contents.flatMap(({ unusable }) => unusable);
  const reasons = unusable.map((file) => `\n  ${file.path}: ${file.reason}`).join("");
  throw new NativeError(
    reasons === ""
      ? `${by}: no TensorRT library is in ${path} or its lib folders; ${advice}`
      : `${by}: no usable TensorRT library is in ${path} (UNfold supports ${knownVersions()}):${reasons}`,
  );
}

/** Every usable library on the system and in Python packages, in the order of the places. */
async function findInstalled({ places, platform, tried }: Search): Promise<readonly Installed[]> {
  const installed: Installed[] = [];
  for (const source of ["system", "python"] as const) {
    const without: string[] = [];
    const absent: string[] = [];
    for (const place of places[source]) {
      const folders = source === "system"
        ? [place]
        : PACKAGE_FOLDERS.flatMap((folder) => [join(place, folder), join(place, folder, "lib")]);
      const contents = await Promise.all(folders.map((folder) => readLibraryFolder(folder, platform)));
      const libraries = contents.flatMap(({ libraries }) => libraries);
      const unusable = contents.flatMap(({ unusable }) => unusable);
      for (const library of libraries) installed.push({ library, source });
      for (const { path, reason } of unusable) tried.push(`${source}: ${path}: ${reason}`);
      if (libraries.length + unusable.length > 0) continue;
      (await isFolder(place) ? without : absent).push(place);
    }
    if (without.length > 0) tried.push(`${source}: no TensorRT in ${without.join(", ")}`);
    if (absent.length > 0) tried.push(`${source}: no such folder: ${absent.join(", ")}`);
  }
  return installed;
}

function found({ library, source }: Installed, { tried }: Search): LocatedTensorRt {
  tried.push(`${source}: ${library.path}`);
  return { path: library.path, source, tried };
}

function nothingFound(reason: NativeError, { tried, pin, cache }: Search): NativeError {
  const folder = pin !== undefined && cache !== undefined ? pinFolder(pin, cache) : undefined;
  return new NativeError(
    [
      `No TensorRT library was found, and none was downloaded: ${reason.message}.`,
      "Tried in this order:",
      ...tried.map((line) => `  ${line}`),
      "Any one of these helps:",
      "  - give a library you have, or its folder: --tensorrt-lib PATH, or set UNFOLD_TENSORRT_LIB",
      `  - install it with Python: pip install ${PINNED_PACKAGE}==${PINNED_PACKAGE_VERSION}`,
      `  - be online once, so that UNfold can fetch it from ${DEFAULT_INDEX_URL} or the index that PIP_INDEX_URL ` +
      `names${folder === undefined ? "" : `; or copy ${folder} from a machine that has it`}`,
    ].join("\n"),
    { cause: reason },
  );
}

async function isFolder(path: string): Promise<boolean> {
  return await Deno.stat(path).then((info) => info.isDirectory, () => false);
}
