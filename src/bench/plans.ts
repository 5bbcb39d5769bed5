/**
 * What a GPU would have to do: TensorRT's plan of each variant, built without a GPU, and its kernels. The
 * plan says how many kernels start, not how long they take; the bytes that normalizations read and write are
 * counted from the graph.
 */
import { join } from "node:path";
import { loadExamples, originOf, sampleInputs, usualSizes } from "../compile/examples.ts";
import { line } from "../compile/line.ts";
import type { Order } from "../compile/order.ts";
import { quantizeForEngine } from "../compile/quantize/engine.ts";
import { engine, type PlanJob } from "../compile/stages/engine.ts";
import { locate } from "../compile/stages/locate.ts";
import { writeOnnx } from "../emit/onnx.ts";
import { isRefusal, UnfoldError } from "../errors.ts";
import { ENGINE_QUANTIZATIONS, type EngineQuantization } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import { bindShape, fixedShape } from "../ir/shape.ts";
import { inspectPlanFile, type PlanReport } from "../report/plan.ts";
import type { WeightSource } from "../weights/mod.ts";
import { peerFiles } from "./case.ts";
import { benchGraph, type BenchNetwork, benchWeights } from "./networks.ts";
import type { Bench } from "./options.ts";
import { planByParser } from "./parser.ts";
import type { Peers } from "./peers.ts";
import {
  type BenchStructure,
  FILE_VARIANTS,
  type FileVariant,
  type PeerPlan,
  type PlanPrecision,
  type Variant,
  variantLabel,
} from "./schema.ts";
import { workOf } from "./work.ts";

const PLAN = line<{ readonly order: Pick<Order, "tensorrtLib">; readonly job: PlanJob }>()
  .add(locate)
  .add(engine(({ job }) => job));

interface Planned {
  readonly batch: number;
  readonly bench: Bench;
}

/** Builds and reads the plans of one network and batch. */
export async function structureOfPlans(
  name: string,
  network: BenchNetwork,
  { batch, bench }: Planned,
): Promise<BenchStructure[]> {
  const plans = new Plans(name, network, { batch, bench });
  const rows: BenchStructure[] = [];
  for (const precision of bench.options.plans) {
    for (const variant of bench.options.variants) {
      if (network.variants.includes(variant)) rows.push(...await plans.own(variant, precision));
    }
    for (const variant of FILE_VARIANTS) rows.push(...await plans.ofFile(variant, precision));
    if (precision === "fp16" && bench.peers !== null && network.hasPeer) {
      rows.push(...await plans.ofPeers(bench.peers));
    }
  }
  return rows;
}

const isQuantization = (precision: PlanPrecision): precision is EngineQuantization =>
  ENGINE_QUANTIZATIONS.some((one) => one === precision);

/** One network's plans at one batch size. */
class Plans {
  readonly #name: string;
  readonly #network: BenchNetwork;
  readonly #batch: number;
  readonly #bench: Bench;
  readonly #weights: WeightSource = benchWeights();
  readonly #path: string;

  constructor(name: string, network: BenchNetwork, { batch, bench }: Planned) {
    this.#name = name;
    this.#network = network;
    this.#batch = batch;
    this.#bench = bench;
    this.#path = join(bench.folder, "structure.plan");
  }

  /**
   * UNfold's plan of a variant; none of what an exporter wrote in fewer bits, which it would not be any more.
   */
  async own(variant: Variant, precision: PlanPrecision): Promise<BenchStructure[]> {
    if (variant === "lnExported" && isQuantization(precision)) return [];
    const { tensorrtLib, targets, onProgress, signal } = this.#bench.options;
    const about = this.#about(variant, precision);
    const title = `${this.#title}: building the plan of ${variant} in ${precision}`;
    onProgress?.(title, null);
    let graph: Graph;
    let made: { readonly graph: Graph; readonly quantized?: BenchStructure["quantized"] };
    try {
      ({ graph } = benchGraph(this.#network, variant, {
        batch: this.#batch,
        precision: isQuantization(precision) ? "fp16" : precision,
        weights: this.#weights,
      }));
      made = isQuantization(precision) ? await this.#quantized(graph, { to: precision, variant }) : { graph };
    } catch (error) {
      return [without(about, error)];
    }
    const lower = variant !== "lnExported" && !isQuantization(precision);
    const job = { graph: made.graph, title, path: this.#path, lower, targets };
    const { engine: built } = await PLAN.run({ order: { tensorrtLib }, job }, {
      signal,
      onEvent: (event) => {
        // A download is worth a word; the library's own steps have no end that is known.
        if (event.kind === "progress" && event.total > 0) onProgress?.(event.text, event.done / event.total);
      },
    });
    await Deno.remove(this.#path);
    const { library, byteLength } = built!.built;
    this.#bench.versions[library.flavour === "rtx" ? "tensorrt_rtx" : "tensorrt"] = library.version;
    return [{
      ...about,
      ...countsOf(built!.plan, byteLength),
      ...(made.quantized && { quantized: made.quantized }),
      normalizationBytes: workOf(graph).normalizationBytes,
    }];
  }

  get #title(): string {
    return `${this.#name}, batch ${this.#batch}`;
  }

  #about<Of extends BenchStructure["variant"]>(variant: Of, precision: PlanPrecision) {
    const { families } = this.#network;
    const model = this.#name;
    return { model, families, batch: this.#batch, precision, variant, normalizationBytes: null };
  }

  /** As a build has it: what a variant other than the folded one loses is not limited. */
  async #quantized(graph: Graph, { to, variant }: { to: EngineQuantization; variant: Variant }) {
    const { options: { quantize, targets, signal }, folder, notes } = this.#bench;
    const { model } = this.#network;
    const { calibrate, inOnnx: _, maxAccuracyDrop, maxOutputError, ...how } = quantize[to]!;
    if (calibrate === undefined && to !== "int4w") {
      const note =
        `${this.#name} in ${to}: ranges are of ${
          originOf(model)
        }, and outputs were not looked at; --calibrate ` +
        "FILE takes samples, on which as much is quantized as build-engine allows";
      if (!notes.includes(note)) notes.push(note);
    }
    const examples = loadExamples(model, this.#batch);
    const isTrained = this.#network.form(variant).weights?.trained === true;
    const files: string[] = [];
    try {
      const { graph: made, report: { products, quantized } } = await quantizeForEngine(graph, {
        ...how,
        targets,
        keep: model.keep,
        samples: calibrate === undefined ? examples : sampleInputs(model, calibrate),
        limits: calibrate === undefined || variant !== "un" ? null : {
          labelled: examples.labels !== null && isTrained ? examples : null,
          maxAccuracyDrop,
          maxOutputError,
        },
        batch: this.#batch,
        onnx: async (graph) => {
          const path = join(folder, `quantize-${files.length}.onnx`);
          files.push(path);
          await writeOnnx(graph, path);
          return path;
        },
        signal,
      });
      return { graph: made, quantized: { products: quantized, of: products } };
    } finally {
      for (const path of files) {
        for (const file of [path, `${path}.data`]) await Deno.remove(file).catch(() => {});
      }
    }
  }

  /** What NVIDIA's parser makes of the file that the network came from. */
  async ofFile(variant: FileVariant, precision: PlanPrecision): Promise<BenchStructure[]> {
    const file = this.#network.files[variant];
    if (file === undefined || isQuantization(precision)) return [];
    const { options: { python, targets, onProgress, signal }, versions } = this.#bench;
    const about = this.#about(variant, precision);
    onProgress?.(`${this.#title}: building NVIDIA's plan of ${file.path} in ${precision}`, null);
    try {
      if (python === undefined) throw new UnfoldError("give --python PATH, one with tensorrt-rtx");
      if (precision === "bf16") throw new UnfoldError("the file's floats are cast to fp16 and fp32 alone");
      const { model } = this.#network;
      const sizes = usualSizes(model, this.#batch);
      versions["nvidia_onnx_parser"] = await planByParser({
        python,
        onnx: file.path,
        plan: this.#path,
        floats: file.precision === precision ? undefined : precision,
        shapes: Object.fromEntries(
          Object.entries(model.inputs).map((
            [name, { shape }],
          ) => [name, fixedShape(bindShape(shape, sizes), name)]),
        ),
        targets,
        signal,
      });
      return [{ ...about, ...await readPlan(this.#path) }];
    } catch (error) {
      return [without(about, error)];
    } finally {
      for (const ending of ["", ".onnx", ".onnx.data"]) {
        await Deno.remove(this.#path + ending).catch(() => {});
      }
    }
  }

  /** What NVIDIA's parser makes of PyTorch's own files; what it cannot is left out, with the reason. */
  async ofPeers(peers: Peers): Promise<BenchStructure[]> {
    const { notes, versions, options } = this.#bench;
    options.onProgress?.(`${this.#title}: building plans of PyTorch's export`, null);
    const folder = await Deno.makeTempDir({ dir: this.#bench.folder });
    try {
      const files = peerFiles(this.#network, { batch: this.#batch, folder, weights: this.#weights });
      const { plans, skipped, version } = await peers.plans({ network: this.#name, ...files, folder });
      versions["nvidia_onnx_parser"] = version;
      for (const [variant, why] of Object.entries(skipped)) {
        notes.push(`the plan of ${this.#title}, ${variantLabel(variant as PeerPlan)}: ${why}`);
      }
      return await Promise.all(
        Object.entries(plans).map(async ([variant, path]) => ({
          ...this.#about(variant as PeerPlan, "fp16"),
          ...await readPlan(path),
        })),
      );
    } catch (error) {
      if (!isRefusal(error)) throw error;
      notes.push(`plans of PyTorch's export: ${error.message}`);
      return [];
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
}

/** The row of a plan that there is not, and why. */
function without<About>(about: About, error: unknown) {
  if (!isRefusal(error)) throw error;
  return { ...about, none: error.message, kernels: null, normalizationKernels: null, planBytes: null };
}

const readPlan = async (path: string) => countsOf(await inspectPlanFile(path), (await Deno.stat(path)).size);

function countsOf({ kernels, normalizationKernels, kernelList }: PlanReport, planBytes: number) {
  const quantizationKernels = kernels === null ? null : kernelList.filter((one) => one.isQuantization).length;
  return { kernels, normalizationKernels, quantizationKernels, planBytes };
}
