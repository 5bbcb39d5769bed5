/**
 * Finds OpenVINO's C library where TensorRT is looked for too: named by the user, on the system, in an
 * installed Python package. Nothing is downloaded: OpenVINO is a second opinion, and its absence costs
 * nothing but that. It leaves out loading the library (`load.ts`).
 */

import { join } from "node:path";
import { NativeError } from "../error.ts";
import { type Environment, type Platform, readEnvironment, THIS_PLATFORM } from "../system/environment.ts";
import { usualPlaces } from "../system/places.ts";
import { namedPath, namesIn, type SearchOptions } from "../system/search.ts";
import { OPENVINO_PACKAGE } from "./load.ts";

export interface LocateOpenVinoOptions extends SearchOptions {
  /** `--openvino-lib`: the library or a folder above it. */
  readonly flag?: string | undefined;
  /** Folders of a Python's packages to search first: those of the Python that peers are measured with. */
  readonly sitePackages?: readonly string[] | undefined;
}

/** Where the library lies below a folder that a user names, an unpacked OpenVINO's or a Python package's. */
const SUBFOLDERS = [
  ".",
  "libs",
  join("runtime", "lib", "intel64"),
  join("runtime", "lib", "aarch64"),
  join("openvino", "libs"),
];

/**
 * Finds the library, in this order: `flag`, `UNFOLD_OPENVINO_LIB`, installed Python packages, the system's
 * folders.
 *
 * Throws NativeError when the user named something that holds none, or when there is none: one message with
 * what was tried and what to do. Needs --allow-read and --allow-env for `ENVIRONMENT_NAMES`.
 */
export async function locateOpenVino(options: LocateOpenVinoOptions = {}): Promise<string> {
  const { flag, platform = THIS_PLATFORM, environment = readEnvironment() } = options;
  const named = flag !== undefined ? "--openvino-lib" : "UNFOLD_OPENVINO_LIB";
  const text = flag ?? environment.UNFOLD_OPENVINO_LIB;
  if (text !== undefined) return await namedLibrary(text, { by: named, environment, platform });
  const places = options.places ?? await usualPlaces(environment, platform);
  const python = [...options.sitePackages ?? [], ...places.python];
  const folders = [
    ...python.map((folder) => join(folder, "openvino", "libs")),
    ...places.system,
    ...(environment.HOME ? [join(environment.HOME, "openvino", "runtime", "lib", "intel64")] : []),
  ];
  for (const folder of folders) {
    const path = await libraryIn(folder, platform);
    if (path !== undefined) return path;
  }
  throw new NativeError(
    `no OpenVINO library (${
      exampleName(platform)
    }) was found: --openvino-lib is not given, UNFOLD_OPENVINO_LIB is not ` +
      `set, and none is in the ${folders.length} usual folders of Python packages and the system; ` +
      `install it with pip install ${OPENVINO_PACKAGE}, or name the library or its folder`,
  );
}

async function namedLibrary(
  text: string,
  { by, environment, platform }: { by: string; environment: Environment; platform: Platform },
): Promise<string> {
  const advice = `give ${exampleName(platform)} or its folder`;
  const { path, isFile } = await namedPath(text, { by, advice, environment, platform });
  if (isFile) return path;
  for (const subfolder of SUBFOLDERS) {
    const found = await libraryIn(join(path, subfolder), platform);
    if (found !== undefined) return found;
  }
  throw new NativeError(`${by}: no OpenVINO library is in ${path} or its library folders; ${advice}`);
}

async function libraryIn(folder: string, { os }: Platform): Promise<string | undefined> {
  const pattern = os === "windows"
    ? /^openvino_c\.dll$/i
    : os === "darwin"
    ? /^libopenvino_c(\.\d+)*\.dylib$/
    : /^libopenvino_c\.so(\.\d+)*$/;
  const names = (await namesIn(folder) ?? []).filter((name) => pattern.test(name));
  // The most exactly named first: the others are links to it.
  const [name] = names.sort((a, b) => b.length - a.length);
  return name === undefined ? undefined : join(folder, name);
}

function exampleName({ os }: Platform): string {
  return os === "windows" ? "openvino_c.dll" : os === "darwin" ? "libopenvino_c.dylib" : "libopenvino_c.so";
}
