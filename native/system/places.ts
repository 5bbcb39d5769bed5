/**
 * The folders in which a native library may already be: what the loader's path names, where installers put
 * TensorRT, CUDA and OpenVINO, and the site-packages folders of the Pythons a user may have meant. They are
 * found by reading folders alone, since asking `python` or `ldconfig` would need `--allow-run`. It leaves out
 * looking into them, which each library's own `locate.ts` does.
 */

import { delimiter, isAbsolute, join } from "node:path";
import { type Environment, homeFolder, type Platform, THIS_PLATFORM } from "./environment.ts";

/** Windows has no variable for it that a 32-bit shell would not change. */
const PROGRAMS = "C:\\Program Files";
/** "Python313", pyenv's "3.13.1" and the install manager's "pythoncore-3.14-64". */
const PYTHON = /^(Python|pythoncore-)?3[.\d]/i;

export interface Places {
  /** Folders of shared libraries, in the order to search. */
  readonly system: readonly string[];
  /** site-packages and dist-packages folders, in the order to search. */
  readonly python: readonly string[];
}

/** The places to search on this machine, those that exist and those that do not. */
export async function usualPlaces(
  environment: Environment,
  platform: Platform = THIS_PLATFORM,
): Promise<Places> {
  const [system, python] = await Promise.all([
    systemFolders(environment, platform),
    pythonFolders(environment, platform),
  ]);
  return { system: unique(system), python: unique(python) };
}

async function systemFolders(environment: Environment, platform: Platform): Promise<readonly string[]> {
  if (platform.os === "windows") {
    const toolkits = await children(join(PROGRAMS, "NVIDIA GPU Computing Toolkit", "CUDA"), /^v\d/);
    const unpacked = await Promise.all(
      [join(PROGRAMS, "NVIDIA"), "C:\\"].map((parent) => children(parent, /^tensorrt/i)),
    );
    return [
      ...pathEntries(environment.PATH),
      ...(environment.CONDA_PREFIX ? [join(environment.CONDA_PREFIX, "Library", "bin")] : []),
      ...unpacked.flat().flatMap((folder) => [join(folder, "bin"), join(folder, "lib")]),
      // CUDA 13 has a folder for each processor.
      ...toolkits.flatMap((folder) => [join(folder, "bin", "x64"), join(folder, "bin")]),
    ];
  }
  const triplet = `${platform.arch}-linux-gnu`;
  const unpacked = await Promise.all(["/usr/local", "/opt"].map((parent) => children(parent, /^tensorrt/i)));
  const cuda = await children("/usr/local", /^cuda/);
  return [
    ...pathEntries(environment.LD_LIBRARY_PATH),
    ...(environment.CONDA_PREFIX ? [join(environment.CONDA_PREFIX, "lib")] : []),
    "/usr/local/lib",
    `/usr/lib/${triplet}`,
    "/usr/lib64",
    "/usr/lib",
    ...unpacked.flat().flatMap((folder) => [join(folder, "lib"), join(folder, "targets", triplet, "lib")]),
    ...cuda.flatMap((folder) => [join(folder, "lib64"), join(folder, "lib")]),
  ];
}

async function pythonFolders(environment: Environment, platform: Platform): Promise<readonly string[]> {
  const home = homeFolder(environment, platform);
  const ofPrefix = (prefix: string) => sitePackages(prefix, platform);
  const prefixes = [environment.VIRTUAL_ENV, environment.CONDA_PREFIX, workingFolder(".venv")];
  const active = await Promise.all(prefixes.map((prefix) => prefix ? ofPrefix(prefix) : []));
  const named = pathEntries(environment.PYTHONPATH);
  if (platform.os === "windows") {
    const { APPDATA: roaming, LOCALAPPDATA: local } = environment;
    const pyenv = environment.PYENV_ROOT || (home && join(home, ".pyenv", "pyenv-win"));
    const store = local
      ? await children(join(local, "Packages"), /^PythonSoftwareFoundation\.Python\.3/)
      : [];
    // What `pip install --user` fills has no "Lib"; installations do.
    const users = [
      roaming && join(roaming, "Python"),
      ...store.map((folder) => join(folder, "LocalCache", "local-packages")),
    ];
    const installations = [
      pyenv && join(pyenv, "versions"),
      local && join(local, "Programs", "Python"),
      local && join(local, "Python"),
      PROGRAMS,
      "C:\\",
    ];
    const below = async (parents: readonly (string | undefined)[]) =>
      (await Promise.all(parents.map((parent) => parent ? children(parent, PYTHON) : []))).flat();
    return [
      ...active.flat(),
      ...named,
      ...(await below(users)).map((folder) => join(folder, "site-packages")),
      ...(await Promise.all((await below(installations)).map(ofPrefix))).flat(),
    ];
  }
  const pyenv = environment.PYENV_ROOT || (home && join(home, ".pyenv"));
  const versions = pyenv ? await children(join(pyenv, "versions"), /^\d/) : [];
  const users = home ? await ofPrefix(join(home, ".local")) : [];
  const shared = await Promise.all([...versions, "/usr/local", "/usr"].map(ofPrefix));
  return [...active.flat(), ...named, ...users, ...shared.flat()];
}

/** The package folders under an installation's prefix, for each Python version there. */
async function sitePackages(prefix: string, platform: Platform): Promise<readonly string[]> {
  if (platform.os === "windows") return [join(prefix, "Lib", "site-packages")];
  const folders = await Promise.all(["lib", "lib64"].map((lib) => children(join(prefix, lib), /^python3/)));
  // Debian renames the folder in the interpreters it ships, and in those alone.
  const names = prefix.startsWith("/usr") ? ["dist-packages", "site-packages"] : ["site-packages"];
  return folders.flat().flatMap((folder) =>
    folder.endsWith("python3") ? [join(folder, "dist-packages")] : names.map((name) => join(folder, name))
  );
}

/** Paths of a folder's entries whose names match, the highest version first; none when it cannot be read. */
async function children(folder: string, pattern: RegExp): Promise<readonly string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) if (pattern.test(name)) names.push(name);
  } catch {
    return [];
  }
  const collator = new Intl.Collator("en", { numeric: true });
  return names.sort((a, b) => collator.compare(b, a)).map((name) => join(folder, name));
}

function pathEntries(text: string | undefined): readonly string[] {
  // An empty or relative entry means the working folder, which is no place to load code from unasked.
  return (text ?? "").split(delimiter).filter(isAbsolute);
}

function workingFolder(name: string): string | undefined {
  try {
    return join(Deno.cwd(), name);
  } catch {
    return undefined; // The working folder is gone, or may not be read.
  }
}

function unique(folders: readonly string[]): readonly string[] {
  return [...new Set(folders)];
}
