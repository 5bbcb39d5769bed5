/**
 * TensorRT's library and NVIDIA's driver, for commands that need a GPU and for those that would like one:
 * nothing is downloaded, since whoever has an engine has the library that built it.
 */
import { isRefusal, UnfoldError } from "../errors.ts";
import { note } from "./terminal.ts";

/**
 * Finds the library without downloading it.
 *
 * @throws {UnfoldError} none is there; where there is no driver either, only that is said, since it is what
 *   is missing
 */
export async function libraryOfDevice(flag: string | undefined) {
  const { locateLibrary } = await import("../emit/tensorrt.ts");
  try {
    return await locateLibrary({ flag, offline: true });
  } catch (error) {
    if (!isRefusal(error) || flag !== undefined) throw error;
    const { hasDriver } = await import("../../native/cuda/names.ts");
    if (!hasDriver()) {
      throw new UnfoldError("the engine cannot run here: there is no NVIDIA driver", { cause: error });
    }
    throw new UnfoldError(`${error.message}\n  - deno task build-engine downloads it`, { cause: error });
  }
}

/** Says, before networks are given to TensorRT, that on this machine it could not tell what it refuses. */
export async function noteSilentRefusals(): Promise<void> {
  const { endsWithErrors } = await import("../../native/tensorrt/silence.ts");
  if (!endsWithErrors()) return;
  note(
    "without an NVIDIA driver NVIDIA's DLL cannot report an error: should this command end without a word, TensorRT " +
      "refused the network; build it where there is a driver, or on Linux, to read why",
  );
}
