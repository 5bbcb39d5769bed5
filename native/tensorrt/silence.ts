/**
 * A defect of NVIDIA's DLL that UNfold keeps away from: whenever TensorRT for RTX 1.7.1 reports an error it
 * asks CUDA for its last one, and on Windows, where without the driver there are no words for that, it reads
 * them from address 0 and ends the process. Linux has the words in the library itself.
 */
import { hasDriver, NO_DRIVER } from "../cuda/names.ts";
import { NativeError } from "../error.ts";

/** Whether an error that the library reports would end this process instead. */
export function endsWithErrors(): boolean {
  return Deno.build.os === "windows" && !hasDriver();
}

/** Replaces a call that fails without a driver; `what` is the error where the library cannot say it. */
export function refuseWithoutDriver(what: string): void {
  if (endsWithErrors()) throw new NativeError(`${what}; ${NO_DRIVER}`);
}
