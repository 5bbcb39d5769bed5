/** The CUDA runtime the tests run with, which they never download, and whether it has a GPU. */
import { type Cuda, loadCuda, locateCuda } from "../native/cuda/mod.ts";
import { nvidiaNames } from "../native/cuda/names.ts";
import { NativeError } from "../native/error.ts";
import type { Flavour } from "../native/tensorrt/mod.ts";
import { unsupported } from "../src/run/tensorrt/engine.ts";
import { TENSORRT_LIBRARY } from "./tensorrt_library.ts";

/** A library that is always there, in place of the driver. */
export const SYSTEM_LIBRARY = Deno.build.os === "windows" ? "kernel32.dll" : "libc.so.6";

/** The runtime, or why there is none. */
export async function openCuda(): Promise<Cuda | string> {
  // What a runtime says without a driver is tested, too, but on Windows, where it has no words for that.
  const names = Deno.build.os === "windows" ? undefined : { ...nvidiaNames(), driver: SYSTEM_LIBRARY };
  try {
    return loadCuda({ path: await locateCuda({ beside: TENSORRT_LIBRARY, offline: true, names }) });
  } catch (error) {
    if (error instanceof NativeError) return error.message;
    throw error;
  }
}

/** Why no engine of a flavour of TensorRT can run here, if of one; `undefined` where there is a GPU for it. */
export async function deviceProblem(flavour?: Flavour): Promise<string | undefined> {
  const cuda = await openCuda();
  if (typeof cuda === "string") return cuda;
  using _ = cuda;
  return cuda.deviceProblem() ?? (flavour === undefined ? undefined : unsupported(flavour, cuda.device()));
}
