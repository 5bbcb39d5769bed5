/**
 * Recognises TensorRT and CUDA runtime libraries by their file names and first bytes, without loading them. It
 * promises that a library whose name tells an unsupported version, or that is for another processor, is not offered
 * but reported. The loader still asks the library itself: a name may tell less than the whole version.
 */

import { basename, join } from "node:path";
import { type Platform, THIS_PLATFORM } from "../environment.ts";
import type { Flavour } from "./layout.ts";
import { LAYOUTS } from "./layouts/mod.ts";

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
  /** CUDA runtime libraries, the newest first. */
  readonly cudarts: readonly string[];
}

const NAMES = {
  linux: /^lib(tensorrt_rtx|nvinfer)\.so((?:\.\d+)*)$/,
  windows: /^(tensorrt_rtx|nvinfer)((?:_\d+)+)\.dll$/i,
};

/** The functions UNfold calls are the same in CUDA 12 and 13. */
const CUDART_NAMES = {
  linux: /^libcudart\.so\.(1[23](?:\.\d+)*)$/,
  windows: /^cudart64_(1[23]\d*)\.dll$/i,
};

/** ELF's e_machine (elf.h: EM_X86_64, EM_AARCH64). */
const ELF_MACHINES: Readonly<Record<string, number>> = { x86_64: 62, aarch64: 183 };

/** The name of the library UNfold runs best with, for messages. */
export function exampleName(platform: Platform = THIS_PLATFORM): string {
  return platform.os === "windows" ? "tensorrt_rtx_1_7.dll" : "libtensorrt_rtx.so.1.7.1";
}

/** The TensorRT versions UNfold has a layout for, as text. */
export function supportedVersions(flavour?: Flavour): string {
  const shown = ({ flavour, version }: { flavour: Flavour; version: string }) =>
    `${flavour === "rtx" ? "TensorRT for RTX" : "TensorRT"} ${version}`;
  const known = LAYOUTS.filter((layout) => flavour === undefined || layout.flavour === flavour);
  return known.length === 0 ? "none" : known.map(shown).join(", ");
}

/** Looks through one folder, not through those inside it. */
export async function readLibraryFolder(
  folder: string,
  platform: Platform = THIS_PLATFORM,
): Promise<FolderContents> {
  const libraries: LibraryFile[] = [];
  const unusable: { path: string; reason: string }[] = [];
  const cudarts: LibraryName[] = [];
  let names: readonly string[];
  try {
    names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch {
    return { exists: false, libraries, unusable, cudarts: [] };
  }
  for (const name of names) {
    const path = join(folder, name);
    const cudart = matched(name, CUDART_NAMES, platform);
    if (cudart !== undefined && (await binaryProblem(path, platform)) === undefined) {
      cudarts.push({ path, version: numbers(cudart[1]) });
    }
    const library = matched(name, NAMES, platform);
    if (library === undefined) continue;
    const flavour: Flavour = library[1]?.toLowerCase() === "nvinfer" ? "enterprise" : "rtx";
    const version = await fullVersion(path, { version: numbers(library[2]), platform });
    const reason = await binaryProblem(path, platform) ?? versionProblem(flavour, version);
    if (reason === undefined) libraries.push({ path, flavour, version });
    else unusable.push({ path, reason });
  }
  return {
    exists: true,
    libraries: libraries.sort(moreExactFirst),
    unusable,
    cudarts: cudarts.sort(moreExactFirst).map(({ path }) => path),
  };
}

/** Why a file cannot be a shared library of this platform, in a few words; undefined when it can. */
export async function binaryProblem(
  path: string,
  platform: Platform = THIS_PLATFORM,
): Promise<string | undefined> {
  const head = new Uint8Array(20);
  try {
    using file = await Deno.open(path);
    const read = await file.read(head);
    if (read === null || read < head.byteLength) return "not a shared library (it is nearly empty)";
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return "may not be read (--allow-read)";
    if (error instanceof Deno.errors.NotFound) return "does not exist";
    return error instanceof Error ? error.message : String(error);
  }
  const view = new DataView(head.buffer);
  if (platform.os === "windows") {
    return view.getUint16(0, true) === 0x5a4d ? undefined : "not a DLL (no MZ header)";
  }
  if (platform.os !== "linux") return undefined;
  if (view.getUint32(0) !== 0x7f454c46) return "not a shared library (no ELF header)";
  // e_ident[EI_CLASS] 2 is 64-bit; e_machine is at byte 18 in both classes (elf.h).
  const machine = ELF_MACHINES[platform.arch];
  const isOurs = view.getUint8(4) === 2 && (machine === undefined || view.getUint16(18, true) === machine);
  return isOurs ? undefined : `for another processor than this ${platform.arch}`;
}

interface LibraryName {
  readonly path: string;
  readonly version: readonly number[];
}

function matched(
  name: string,
  patterns: { readonly linux: RegExp; readonly windows: RegExp },
  platform: Platform,
): RegExpExecArray | undefined {
  return (platform.os === "windows" ? patterns.windows : patterns.linux).exec(name) ?? undefined;
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
  const resolved = numbers(matched(basename(target), NAMES, platform)?.[2]);
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
  return isKnown ? undefined : `version ${version.join(".")}; supported: ${supportedVersions(flavour)}`;
}

function moreExactFirst(a: LibraryName, b: LibraryName): number {
  if (a.version.length !== b.version.length) return b.version.length - a.version.length;
  for (const [index, part] of a.version.entries()) {
    const other = b.version[index] ?? 0;
    if (part !== other) return other - part;
  }
  return a.path < b.path ? -1 : 1;
}
