/**
 * The whole line: a model to two engines, two ONNX files and a report that says what was folded, how exactly and how
 * fast. A failure or Ctrl-C leaves what was there before.
 */
import config from "../../deno.json" with { type: "json" };
import os from "node:os";
import { join } from "node:path";
import type { RecognisedCheckpoint } from "../checkpoints/recognise.ts";
import type { Model } from "../dsl/model.ts";
import type { LayerNormForm } from "../rewrite/recentre.ts";
import { buildEngine, type BuiltEngine, locateLibrary } from "../emit/tensorrt.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Norm, NormFamily } from "../norms/mod.ts";
import { inspectPlanFile } from "../report/plan.ts";
import { type EngineReport, type Report, ReportSchema } from "../report/schema.ts";
import { remainingNorms } from "../rewrite/pipeline.ts";
import { type Batch, profilesOf } from "./batch.ts";
import { checkOutputs } from "./check.ts";
import { type Examples, loadExamples, openSizes } from "./evaluate.ts";
import { timeNetworks } from "./latency.ts";
import { chooseWeights, compile, type Network, type WeightChoice, type WeightOptions } from "./networks.ts";
import { Workshop } from "./workshop.ts";

/** What a build tells while it works. */
export type BuildEvent =
  | { readonly kind: "step"; readonly text: string }
  /** `total` is 0 where the whole is not known. */
  | { readonly kind: "progress"; readonly text: string; readonly done: number; readonly total: number };

export interface BuildOptions extends WeightOptions {
  readonly norm: Norm;
  readonly precision: Precision;
  /** The form Layer Normalization is compiled in, where the network allows it. */
  readonly layerNorm?: LayerNormForm;
  readonly batch: Batch;
  /** Output folder; made if it is not there. */
  readonly out: string;
  /** Whether to measure latency. */
  readonly time: boolean;
  readonly tensorrtLib?: string | undefined;
  readonly onEvent?: (event: BuildEvent) => void;
  readonly signal?: AbortSignal;
}

/** One contender: a normalization's networks and where its weights came from. */
export interface Contender {
  readonly norm: Norm;
  readonly weights: WeightChoice;
  /** In the precision of the engine. */
  readonly network: Network;
  /** In fp32, for the algebra and for CPUs; the same network where that is the precision. */
  readonly wide: Network;
}

/** The folded network and, unless it is the same one, the reference. */
export type Contenders = readonly [primary: Contender, reference?: Contender];

/** What the stages of a build share. */
export interface Stage {
  readonly model: Model;
  readonly contenders: Contenders;
  readonly examples: Examples;
  readonly options: BuildOptions;
  readonly work: Workshop;
}

/**
 * Builds a model with its normalization folded, and the same model with the reference normalization.
 *
 * @returns the report, which is also written to `report.json`
 */
export async function buildModel(model: Model, options: BuildOptions): Promise<Report> {
  const { out, time, onEvent, signal } = options;
  const step = (text: string) => {
    signal?.throwIfAborted();
    onEvent?.({ kind: "step", text });
  };
  step("describing the networks");
  const contenders = contendersOf(model, options);
  const examples = loadExamples(model, { count: options.batch.timed, dims: openSizes(model) });
  await using work = await Workshop.open(out);
  const stage = { model, contenders, examples, options, work };
  step("finding TensorRT");
  const library = await findLibrary(options);
  const engines: Partial<Record<NormFamily, EngineReport>> = {};
  let built: BuiltEngine | undefined;
  for (const contender of contenders) {
    if (contender === undefined) continue;
    const { norm, weights } = contender;
    step(`building ${norm.family}.plan (${norm.label})`);
    built = await emitEngine(contender, stage, library.path);
    const onnx = await work.publish(contender.network.graph, `${norm.family}.onnx`);
    const plan = await inspectPlanFile(built.path);
    engines[norm.family] = {
      path: join(out, `${norm.family}.plan`),
      bytes: built.byteLength,
      layers: built.layers,
      kernels: plan.kernels,
      unknown: plan.unknown,
      normalizationKernels: plan.normalizationKernels,
      buildMs: built.phases.buildMs,
      phases: built.phases,
      onnx: { path: join(out, `${norm.family}.onnx`), bytes: onnx.byteLength, nodes: onnx.nodes },
      weights: weights.origin,
      trained: weights.trained,
    };
  }
  step("comparing outputs");
  const checked = await checkOutputs(stage);
  if (time) step("timing");
  const latency = time
    ? await timeNetworks(stage, { library: library.path, cudartPath: library.cudartPath })
    : null;
  const { network } = contenders[0];
  const report = ReportSchema.parse({
    schema: 1,
    model: model.name,
    checkpoint: options.recognised === undefined ? null : describeCheckpoint(options.recognised),
    precision: options.precision,
    batch: options.batch.text,
    norms: {
      found: network.norms.length,
      folded: network.norms.filter(({ folded }) => folded).length,
      remaining: remainingNorms(network.graph),
      where: network.norms,
    },
    passes: network.trace,
    engines,
    ...checked,
    latency,
    environment: {
      unfold: config.version,
      deno: Deno.version.deno,
      os: `${Deno.build.os} ${Deno.build.arch}`,
      cpu: os.cpus()[0]?.model ?? "unknown",
      cores: navigator.hardwareConcurrency,
      tensorrt: { version: built!.library.version, flavour: built!.library.flavour, source: library.source },
    },
  });
  await Deno.writeTextFile(work.path("report.json"), JSON.stringify(report, null, 2) + "\n");
  signal?.throwIfAborted();
  await work.deliver();
  return report;
}

const describeCheckpoint = ({ path, format, ignored }: RecognisedCheckpoint) => ({ path, format, ignored });

/** The folded network and the reference, compiled. */
export function contendersOf(
  model: Model,
  { norm, precision, batch, layerNorm = "layer", ...weightOptions }: BuildOptions,
): Contenders {
  const dims = batch.fixed === null ? {} : { B: batch.fixed };
  const contender = (norm: Norm, isReference: boolean): Contender => {
    const weights = chooseWeights(model, norm, { ...weightOptions, isReference });
    const at = (precision: Precision) =>
      compile(model, { weights: weights.open(), precision, norm, dims, layerNorm });
    const network = at(precision);
    return { norm, weights, network, wide: precision === "fp32" ? network : at("fp32") };
  };
  const primary = contender(norm, false);
  return norm.family === model.reference.family ? [primary] : [primary, contender(model.reference, true)];
}

/** The TensorRT library that the options name, else one that is there, else downloaded. */
export async function findLibrary(
  { tensorrtLib, onEvent, signal }: Pick<BuildOptions, "tensorrtLib" | "onEvent" | "signal">,
) {
  return await locateLibrary({
    flag: tensorrtLib,
    signal,
    onProgress: ({ phase, doneBytes, totalBytes }) =>
      onEvent?.({
        kind: "progress",
        text: phase === "download" ? "downloading TensorRT, once" : "unpacking TensorRT",
        done: doneBytes,
        total: totalBytes,
      }),
  });
}

/** Builds a contender's plan in the working folder. */
export async function emitEngine(
  { norm, network }: Contender,
  { model, work, options: { batch, onEvent, signal } }: Stage,
  library: string,
): Promise<BuiltEngine> {
  let done = 0;
  return await buildEngine(network.graph, {
    path: work.path(`${norm.family}.plan`),
    library,
    profiles: profilesOf(batch, model.dims ?? {}),
    ...(signal && { signal }),
    onProgress: (event) => {
      // TensorRT announces phases as it goes, so the whole is not known: steps done are what there is to show.
      if (event.kind !== "step") return;
      onEvent?.({
        kind: "progress",
        text: `building ${norm.family}.plan (${norm.label})`,
        done: ++done,
        total: 0,
      });
    },
  });
}
