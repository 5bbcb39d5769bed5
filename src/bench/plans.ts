/**
 * What a GPU would have to do: TensorRT's plan of each variant, built without a GPU, and its kernels. The
 * plan says how many kernels start, not how long they take; the bytes that normalizations read and write are
 * counted from the graph.
 */
import { join } from "node:path";
import { line } from "../compile/line.ts";
import type { Order } from "../compile/order.ts";
import { engine, type PlanJob } from "../compile/stages/engine.ts";
import { locate } from "../compile/stages/locate.ts";
import type { Precision } from "../ir/dtype.ts";
import { isRefusal } from "../errors.ts";
import { inspectPlanFile } from "../report/plan.ts";
import type { WeightSource } from "../weights/mod.ts";
import { peerFiles } from "./case.ts";
import { benchGraph, type BenchNetwork, benchWeights } from "./networks.ts";
import type { Bench } from "./options.ts";
import type { Peers } from "./peers.ts";
import { type BenchStructure, type PeerPlan, VARIANT_LABELS } from "./schema.ts";
import { workOf } from "./work.ts";

/** The precision that engines run in: attention is one kernel there, which it is not in fp32. */
const PLAN_PRECISION: Precision = "fp16";

const PLAN = line<{ readonly order: Pick<Order, "tensorrtLib">; readonly job: PlanJob }>()
  .add(locate)
  .add(engine(({ job }) => job));

/** Builds and reads a plan for each variant of one network and batch. */
export async function structureOfPlans(
  name: string,
  network: BenchNetwork,
  { batch, bench }: { batch: number; bench: Bench },
): Promise<BenchStructure[]> {
  const { options, folder, versions } = bench;
  const { tensorrtLib, onProgress, signal } = options;
  const weights = benchWeights();
  const rows: BenchStructure[] = [];
  for (const variant of options.variants) {
    const title = `${name}, batch ${batch}: building the plan of ${variant}`;
    onProgress?.(title, null);
    const { graph } = benchGraph(network, variant, { batch, precision: PLAN_PRECISION, weights });
    const path = join(folder, "structure.plan");
    const job = { graph, title, path, lower: variant !== "lnExported" };
    const made = await PLAN.run({ order: { tensorrtLib }, job }, {
      signal,
      onEvent: (event) => {
        // A download is worth a word; the library's own steps have no end that is known.
        if (event.kind === "progress" && event.total > 0) onProgress?.(event.text, event.done / event.total);
      },
    });
    const { built, plan } = made.engine!;
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
  if (bench.peers !== null && network.hasPeer) {
    rows.push(...await plansOfPeers(bench.peers, name, network, { batch, weights, bench }));
  }
  return rows;
}

/** What NVIDIA's parser makes of PyTorch's own files; what it cannot is left out, with the reason. */
async function plansOfPeers(
  peers: Peers,
  name: string,
  network: BenchNetwork,
  { batch, weights, bench }: { batch: number; weights: WeightSource; bench: Bench },
): Promise<BenchStructure[]> {
  const title = `${name}, batch ${batch}`;
  bench.options.onProgress?.(`${title}: building plans of PyTorch's export`, null);
  const folder = await Deno.makeTempDir({ dir: bench.folder });
  try {
    const files = peerFiles(network, { batch, folder, weights });
    const { plans, skipped, version } = await peers.plans({ network: name, ...files, folder });
    bench.versions["nvidia_onnx_parser"] = version;
    for (const [variant, why] of Object.entries(skipped)) {
      bench.notes.push(`the plan of ${title}, ${VARIANT_LABELS[variant as PeerPlan]}: ${why}`);
    }
    return await Promise.all(
      Object.entries(plans).map(async ([variant, path]) => {
        const { kernels, normalizationKernels } = await inspectPlanFile(path);
        const planBytes = (await Deno.stat(path)).size;
        const row = { model: name, batch, precision: PLAN_PRECISION, variant: variant as PeerPlan };
        return { ...row, kernels, normalizationKernels, planBytes, normalizationBytes: null };
      }),
    );
  } catch (error) {
    if (!isRefusal(error)) throw error;
    bench.notes.push(`plans of PyTorch's export: ${error.message}`);
    return [];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
