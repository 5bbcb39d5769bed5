/** What runs engines here: a GPU that loads them, else a CPU, and why. */
import { isRefusal } from "../errors.ts";
import { findGpu, type GpuOptions, sessionFromPlan } from "../run/tensorrt/engine.ts";
import type { Watch } from "./line.ts";

/**
 * A GPU that cannot run these plans after all is a reason to time the CPU, not a failed build.
 *
 * @param plans paths; all must load
 * @param options.library path of the TensorRT library that built them; null where none was built
 */
export async function deviceFor(
  plans: readonly string[],
  { library, onEvent, signal }: Pick<Watch, "onEvent" | "signal"> & { readonly library: string | null },
): Promise<{ readonly gpu: GpuOptions; readonly backend: string } | { readonly whyCpu: string }> {
  if (library === null || plans.length === 0) return { whyCpu: "no engine was built" };
  const gpu: GpuOptions = {
    library,
    onProgress: ({ text, fraction }) => onEvent?.({ kind: "progress", text, done: fraction, total: 1 }),
    signal,
  };
  const found = await findGpu(gpu);
  if ("unavailable" in found) return { whyCpu: found.unavailable };
  try {
    for (const plan of plans) {
      await using _works = await sessionFromPlan(plan, gpu);
    }
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const engines = plans.length === 1 ? "the engine" : "the engines";
    const why = error.message.replaceAll(/\s*\n\s*/g, " ");
    return { whyCpu: `${found.backend} cannot run ${engines}: ${why}` };
  }
  return { gpu, backend: found.backend };
}
