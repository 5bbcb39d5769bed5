/**
 * A shared library out of a pinned wheel: which pin is for a platform, and where in the cache it is. It
 * leaves out how a wheel is fetched and kept (`download.ts`, `cache.ts`), and when to download, which is for
 * each library's own `locate.ts`.
 */
import { join } from "node:path";
import type { Platform } from "../system/environment.ts";
import type { SearchOptions } from "../system/search.ts";
import type { CachedWheel } from "./cache.ts";
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

/** The path of a pinned library in the cache's folder of its wheel. */
export function libraryIn({ folder }: CachedWheel, pin: LibraryPin): string {
  return join(folder, libraryName(pin));
}
