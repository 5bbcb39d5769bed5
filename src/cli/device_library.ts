/** The TensorRT library for commands that need a GPU: one that is there, since whoever has an engine has what built it. */
import { isRefusal, UnfoldError } from "../errors.ts";

/**
 * Finds the library without downloading it.
 *
 * @throws {UnfoldError} none is there; where there is no driver either, only that is said, since it is what is missing
 */
export async function libraryOfDevice(flag: string | undefined) {
  const { locateLibrary } = await import("../emit/tensorrt.ts");
  try {
    return await locateLibrary({ flag, offline: true });
  } catch (error) {
    if (!isRefusal(error) || flag !== undefined) throw error;
    if (!await hasDriver()) {
      throw new UnfoldError("the engine cannot run here: there is no NVIDIA driver", { cause: error });
    }
    throw new UnfoldError(`${error.message}\n  - deno task build-engine downloads it`, { cause: error });
  }
}

/** The driver's own library comes with every driver. */
async function hasDriver(): Promise<boolean> {
  const { openLibrary } = await import("../../native/library.ts");
  try {
    openLibrary("libcuda.so.1", { symbols: {}, what: "the NVIDIA driver", advice: "" }).close();
    return true;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
}
