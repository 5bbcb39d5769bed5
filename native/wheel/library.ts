/**
 * A shared library out of a pinned wheel: which pin is for a platform, its cached copy, its download. It leaves out how a
 * wheel is fetched and kept (`download.ts`, `cache.ts`), and when to download, which is for each library's own `locate.ts`.
 */
import { join } from "node:path";
import type { Platform } from "../system/environment.ts";
import type { SearchOptions } from "../system/search.ts";
import { findCached } from "./cache.ts";
import { type DownloadOptions, downloadWheel } from "./download.ts";
import type { WheelFilesOptions } from "./files.ts";
import { libraryName, type LibraryPin } from "./pin.ts";

/** A search that ends with a download where nothing was found. */
export interface LibrarySearchOptions extends SearchOptions, WheelFilesOptions {
  /** Instead of the wheel pinned for the platform; for tests. */
  readonly pin?: LibraryPin | undefined;
}

/** "linux-x86_64", as pins have it. */
export const platformName = ({ os, arch }: Platform): string => `${os}-${arch}`;

/** The pin that is for a platform. */
export function pinOf(pins: readonly LibraryPin[], platform: Platform): LibraryPin | undefined {
  return pins.find((pin) => pin.platform === platformName(platform));
}

/** The cached copy of a pinned library, or why there is none, in a few words. */
export async function findCachedLibrary(
  pin: LibraryPin,
  cache: string,
): Promise<{ readonly path: string } | { readonly missing: string }> {
  const cached = await findCached(pin, cache);
  return "missing" in cached ? cached : { path: join(cached.folder, libraryName(pin)) };
}

/** Brings a pinned library into the cache, as `downloadWheel` does, and says where it is. */
export async function downloadLibrary(pin: LibraryPin, options: DownloadOptions): Promise<string> {
  return join((await downloadWheel(pin, options)).folder, libraryName(pin));
}
