/**
 * Recognises TensorRT libraries by their file names and first bytes, without loading them. It promises that a
 * library whose name tells an unsupported version, or that is for another processor, is not offered but
 * reported. The loader still asks the library itself: a name may tell less than the whole version.
 */

import { basename, join } from "node:path";
import { fileProblem } from "../../system/binary_file.ts";
import { type Platform, THIS_PLATFORM } from "../../system/environment.ts";
import { namesIn } from "../../system/search.ts";
import type { Flavour } from "../abi/layout.ts";
import { LAYOUTS } from "../abi/layouts.ts";
import { knownVersions } from "../abi/versions.ts";

/** A TensorRT library that may be loaded. */
export interface LibraryFile {
  readonly path: string;
  readonly flavour: Flavour;
  /** As far as the file's name, or the name of the file it links to, tells it. */
  readonly version: readonly number[];
}

/** What a folder holds. */
export interface FolderContents {
  readonly exists: boolean;
  /** Usable libraries, the most exactly named and newest first. */
  readonly libraries: readonly LibraryFile[];
  /** TensorRT libraries that are not usable, with the reason. */
  readonly unusable: readonly { readonly path: string; readonly reason: string }[];
}

const NAMES = {
  linux: /^lib(tensorrt_rtx|nvinfer)\.so((?:\.\d+)*)$/,
  windows: /^(tensorrt_rtx|nvinfer)((?:_\d+)+)\.dll$/i,
};

/** Looks through one folder, not through those inside it. */
export async function readLibraryFolder(
  folder: string,
  platform: Platform = THIS_PLATFORM,
): Promise<FolderContents> {
  const libraries: LibraryFile[] = [];
  const unusable: { path: string; reason: string }[] = [];
  const names = await namesIn(folder);
  if (names === undefined) return { exists: false, libraries, unusable };
  for (const name of names) {
    const path = join(folder, name);
    const library = libraryName(name, platform);
    if (library === undefined) continue;
    const flavour: Flavour = library[1]?.toLowerCase() === "nvinfer" ? "enterprise" : "rtx";
    const version = await fullVersion(path, { version: numbers(library[2]), platform });
    const reason = await fileProblem(path, platform) ?? versionProblem(flavour, version);
    if (reason === undefined) libraries.push({ path, flavour, version });
    else unusable.push({ path, reason });
  }
  return {
    exists: true,
    libraries: libraries.sort(moreExactFirst),
    unusable,
  };
}

interface LibraryName {
  readonly path: string;
  readonly version: readonly number[];
}

function libraryName(name: string, { os }: Platform): RegExpExecArray | undefined {
  return (os === "windows" ? NAMES.windows : NAMES.linux).exec(name) ?? undefined;
}

function numbers(text: string | undefined): readonly number[] {
  return [...(text ?? "").matchAll(/\d+/g)].map(([digits]) => Number(digits));
}

/** A link is named "so.1" or "so"; what it links to is named in full. */
async function fullVersion(
  path: string,
  { version, platform }: { readonly version: readonly number[]; readonly platform: Platform },
): Promise<readonly number[]> {
  if (version.length > 1) return version;
  const target = await Deno.realPath(path).catch(() => path);
  const resolved = numbers(libraryName(basename(target), platform)?.[2]);
  return resolved.length > version.length ? resolved : version;
}

/** Whether some layout can be of a library so named: the parts a name leaves open may be anything. */
function versionProblem(flavour: Flavour, version: readonly number[]): string | undefined {
  if (version.length === 0) return undefined;
  // NvInferVersion.h: NV_TENSORRT_VERSION is major * 10000 + minor * 100 + patch.
  const filled = (open: number) =>
    (version[0] ?? 0) * 10_000 + (version[1] ?? open) * 100 + (version[2] ?? open);
  const [first, last] = [filled(0), filled(99)];
  const isKnown = LAYOUTS.some((layout) =>
    layout.flavour === flavour && layout.libVersions[0] <= last && first <= layout.libVersions[1]
  );
  return isKnown ? undefined : `version ${version.join(".")}; supported: ${knownVersions(flavour)}`;
}

function moreExactFirst(a: LibraryName, b: LibraryName): number {
  if (a.version.length !== b.version.length) return b.version.length - a.version.length;
  for (const [index, part] of a.version.entries()) {
    const other = b.version[index] ?? 0;
    if (part !== other) return other - part;
  }
  return a.path < b.path ? -1 : 1;
}
