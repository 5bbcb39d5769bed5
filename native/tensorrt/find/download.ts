/**
 * The pinned TensorRT library in UNfold's cache, and its download. It leaves out how a wheel is fetched and kept
 * (`native/wheel/`), and when to download, which is `locate.ts`'s decision.
 */

import { join } from "node:path";
import { type Platform, THIS_PLATFORM } from "../../system/environment.ts";
import { NativeError } from "../../error.ts";
import { findCached } from "../../wheel/cache.ts";
import { type DownloadOptions, downloadWheel } from "../../wheel/download.ts";
import { libraryName, type LibraryPin } from "../../wheel/pin.ts";
import { PINS } from "./pinned.ts";

/** The wheel pinned for a platform; throws NativeError where there is none. */
export function pinFor(platform: Platform = THIS_PLATFORM): LibraryPin {
  const name = `${platform.os}-${platform.arch}`;
  const pin = PINS.find((candidate) => candidate.platform === name);
  if (pin !== undefined) return pin;
  throw new NativeError(
    `UNfold downloads TensorRT for ${
      new Intl.ListFormat("en").format(PINS.map((known) => known.platform))
    } only; this is ${name}`,
  );
}

/** The cached copy of a pinned library, or why there is none, in a few words. */
export async function findCachedLibrary(
  pin: LibraryPin,
  cache: string,
): Promise<{ readonly path: string } | { readonly missing: string }> {
  const cached = await findCached(pin, cache);
  return "missing" in cached ? cached : { path: join(cached.folder, libraryName(pin)) };
}

/**
 * Brings a pinned library into the cache, unless it is there already, and says where it is.
 *
 * Throws NativeError when the index or the wheel cannot be had, the wheel is not the pinned one, or the cache cannot be
 * written; rejects with the signal's reason once it is aborted.
 *
 * @example
 * ```ts ignore
 * const path = await downloadTensorRt(pinFor(), { cache: "/home/me/.cache/unfold" });
 * ```
 */
export async function downloadTensorRt(pin: LibraryPin, options: DownloadOptions): Promise<string> {
  return join((await downloadWheel(pin, options)).folder, libraryName(pin));
}
