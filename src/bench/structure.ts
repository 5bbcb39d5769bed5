/**
 * What a GPU would have to do: TensorRT's plan of each variant, built without a GPU, and its kernels. The plan says how many
 * kernels start, not how long they take; the bytes that normalizations read and write are counted from the graph.
 */
import { join } from "node:path";
import { buildEngine, locateLibrary } from "../emit/tensorrt.ts";
import type { Precision } from "../ir/dtype.ts";
import { inspectPlanFile } from "../report/plan.ts";
import type { Bench } from "./bench.ts";
import { benchGraph, type BenchNetwork, benchWeights } from "./networks.ts";
import type { BenchStructure } from "./schema.ts";
import { workOf } from "./work.ts";

/** The precision that engines run in: attention is one kernel there, which it is not in fp32. */
const PLAN_PRECISION: Precision = "fp16";

/** Builds and reads a plan for each variant of one network and batch. */
export async function structureOf(
  name: string,
  network: BenchNetwork,
  { batch, bench: { options, folder, versions } }: { batch: number; bench: Bench },
): Promise<BenchStructure[]> {
  const { path: library } = await locateLibrary({ flag: options.tensorrtLib, signal: options.signal });
  const weights = benchWeights();
  const rows: BenchStructure[] = [];
  for (const variant of options.variants) {
    options.signal?.throwIfAborted();
    options.onProgress?.(`${name}, batch ${batch}: building the plan of ${variant}`, null);
    const { graph } = benchGraph(network, variant, { batch, precision: PLAN_PRECISION, weights });
    const path = join(folder, "structure.plan");
    const built = await buildEngine(graph, {
      path,
      library,
      lower: variant !== "lnExported",
      ...(options.signal && { signal: options.signal }),
    });
    const plan = await inspectPlanFile(path);
    await Deno.remove(path);
    versions[built.library.flavour === "rtx" ? "tensorrt_rtx" : "tensorrt"] = built.library.version;
    rows.push({
      model: name,
      batch,
      precision: PLAN_PRECISION,
      variant,
      kernels: plan.kernels,
      normalizationKernels: plan.normalizationKernels,
      planBytes: built.byteLength,
      normalizationBytes: workOf(graph).normalizationBytes,
    });
  }
  return rows;
}
