/**
 * The whole line: a model to two engines, their ONNX files and a report that says what was folded, how exactly and how
 * fast. A failure or Ctrl-C leaves what was there before.
 */
import config from "../../deno.json" with { type: "json" };
import os from "node:os";
import { join } from "node:path";
import type { RecognisedCheckpoint } from "../checkpoints/recognise.ts";
import type { Model } from "../dsl/model.ts";
import type { LayerNormForm } from "../rewrite/fold/recentre.ts";
import { buildEngine, type BuiltEngine, type EngineOptions, locateLibrary } from "../emit/tensorrt.ts";
import { writeTritonModel } from "../emit/triton.ts";
import { type EnginePrecision, isNarrow, networkPrecision, type Precision } from "../ir/dtype.ts";
import type { Norm, NormFamily } from "../norms/families.ts";
import { notExecuted } from "../report/not_executed.ts";
import { commitHere } from "../report/commit.ts";
import { withoutHome } from "../report/home.ts";
import { inspectPlanFile } from "../report/plan.ts";
import type { EngineReport, LatencyReport, Report } from "../report/report.ts";
import { ReportSchema } from "../report/schema.ts";
import { asOnnx, type OnnxForm } from "../rewrite/backends/onnx_forms.ts";
import { remainingNorms } from "../rewrite/pipeline.ts";
import { type Batch, profilesOf } from "./batch.ts";
import { checkOutputs, roundNetworks } from "./check.ts";
import { type Examples, loadExamples, openSizes } from "./evaluate.ts";
import { buildInt8, type Int8Options, timeInt8 } from "./int8.ts";
import { timeNetworks } from "./latency.ts";
import { Meter } from "./meter.ts";
import {
  aboutNetwork,
  chooseWeights,
  compile,
  type Network,
  type WeightChoice,
  type WeightOptions,
} from "./networks.ts";
import { Workshop } from "./workshop.ts";

/** What a build tells while it works. */
export type BuildEvent =
  | { readonly kind: "step"; readonly text: string }
  /** `total` is 0 where the whole is not known. */
  | { readonly kind: "progress"; readonly text: string; readonly done: number; readonly total: number };

export interface BuildOptions extends WeightOptions {
  readonly norm: Norm;
  readonly precision: EnginePrecision;
  /** The form Layer Normalization is compiled in, where the network allows it. */
  readonly layerNorm?: LayerNormForm;
  readonly batch: Batch;
  /** The form of the ONNX files: the standard's operators, which every tool reads, or the CPU's fastest. */
  readonly onnx?: OnnxForm;
  /** The version of the standard's operators in them, from 17; the lowest, which the oldest tools read, unless given. */
  readonly opset?: number | undefined;
  /** The folded network in int8 as well, as one more ONNX file. */
  readonly int8?: Int8Options | undefined;
  /** Whether to build what overflows fp16 or bf16 on the samples there are, too. */
  readonly allowOverflow?: boolean;
  /** Output folder; made if it is not there. */
  readonly out: string;
  /** Whether to measure latency. */
  readonly time: boolean;
  /** What is not wanted besides: engines, so that ONNX files are all there is, the comparison, the reference network. */
  readonly skip?: readonly BuildPart[] | undefined;
  readonly tensorrtLib?: string | undefined;
  /** A folder for a model repository of Triton Inference Server with the folded network's engine. */
  readonly triton?: string | undefined;
  /** What else the engines are built for. */
  readonly engine?: Pick<EngineOptions, "refit" | "weightStreaming" | "timingCacheFile" | "targets">;
  /** The command line as it was typed, for the report. */
  readonly command?: string;
  readonly onEvent?: (event: BuildEvent) => void;
  /** Called when there begins to be something to clean up; until then a process can be ended as it is. */
  readonly onWork?: () => void;
  readonly signal?: AbortSignal;
}

export type BuildPart = "engine" | "check" | "reference";

/** One contender: a normalization's networks and where its weights came from. */
export interface Contender {
  readonly norm: Norm;
  readonly weights: WeightChoice;
  /** In the precision of the engine. */
  readonly network: Network;
  /** In fp32, for the algebra and for CPUs, made when it is asked for; the same network where that is the precision. */
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
  const { out, time, skip = [], command = null, opset, onEvent, signal } = options;
  const provenance = { startedAt: new Date().toISOString(), command, ...await commitHere() };
  const step = (text: string) => {
    signal?.throwIfAborted();
    onEvent?.({ kind: "step", text });
  };
  using meter = new Meter();
  step("describing the networks");
  meter.begin("describe");
  const contenders = contendersOf(model, options);
  const examples = loadExamples(model, { count: options.batch.timed, dims: openSizes(model) });
  options.onWork?.();
  await using work = await Workshop.open(out, { opset });
  const stage = { model, contenders, examples, options, work };
  const isChecked = !skip.includes("check");
  if (isChecked && isNarrow(options.precision)) {
    step(`looking for overflows in ${options.precision}`);
    meter.begin("round");
  }
  const rounded = isChecked ? await roundNetworks(stage) : null;
  if (options.int8 !== undefined) {
    step("quantizing");
    meter.begin("quantize");
  }
  const int8 = options.int8 === undefined ? null : await buildInt8(stage, options.int8);
  let library: Awaited<ReturnType<typeof findLibrary>> | null = null;
  if (!skip.includes("engine")) {
    step("finding TensorRT");
    meter.begin("locate");
    library = await findLibrary(options);
  }
  const engines: Partial<Record<NormFamily, EngineReport>> = {};
  let built: BuiltEngine | null = null;
  let targets: Report["targets"] = null;
  for (const contender of contenders) {
    if (contender === undefined) continue;
    const { norm: { family, label }, weights } = contender;
    if (library !== null) {
      step(`building ${family}.plan (${label})`);
      built = await emitEngine(contender, stage, {
        library: library.path,
        onPhase: (phase) => meter.begin(phase, family),
      });
    }
    step(`writing ${family}.onnx (${label})`);
    meter.begin("onnx", family);
    const onnx = await work.publish(
      asOnnx(contender.network.graph, options.onnx),
      `${family}.onnx`,
      aboutNetwork({ ...contender, precision: networkPrecision(options.precision) }),
    );
    const plan = built === null ? null : await inspectPlanFile(built.path);
    targets = plan && plan.targets;
    engines[family] = {
      path: built && join(out, `${family}.plan`),
      bytes: built && built.byteLength,
      layers: built && built.layers,
      kernels: plan && plan.kernels,
      unknown: plan && plan.unknown,
      normalizationKernels: plan && plan.normalizationKernels,
      buildMs: built && built.phases.buildMs,
      onnx: { path: join(out, `${family}.onnx`), bytes: onnx.byteLength, nodes: onnx.nodes },
      weights: weights.origin,
      stateDict: weights.stateDict,
      trained: weights.trained,
    };
  }
  let checked: Pick<Report, "parity" | "accuracy"> = { parity: null, accuracy: null };
  if (rounded !== null) {
    step("comparing outputs");
    meter.begin("compare");
    checked = await checkOutputs(stage, rounded);
  }
  let latency: LatencyReport | null = null;
  if (time) {
    step("timing");
    meter.begin("time");
    latency = await timeNetworks(stage, library && library.path);
  }
  if (time && int8 !== null) step("timing int8");
  const int8Latency = time && int8 !== null ? await timeInt8(int8, stage) : null;
  const { network } = contenders[0];
  const figures: Report = {
    schema: 1,
    model: model.name,
    provenance,
    checkpoint: options.recognised === undefined ? null : describeCheckpoint(options.recognised),
    precision: options.precision,
    targets,
    batch: options.batch.text,
    norms: {
      found: network.norms.length,
      folded: network.norms.filter(({ folded }) => folded).length,
      remaining: remainingNorms(network.graph),
      where: network.norms,
    },
    passes: network.trace,
    engines,
    phases: meter.phases(),
    ranges: rounded?.ranges ?? null,
    ...checked,
    latency,
    int8: int8 === null ? null : { ...int8.report, latency: int8Latency },
    environment: {
      unfold: config.version,
      deno: Deno.version.deno,
      os: `${Deno.build.os} ${Deno.build.arch}`,
      cpu: os.cpus()[0]?.model ?? "unknown",
      cores: navigator.hardwareConcurrency,
      tensorrt: built && library && {
        version: built.library.version,
        flavour: built.library.flavour,
        source: library.source,
      },
    },
  };
  const report = ReportSchema.parse({ ...figures, notExecuted: notExecuted(figures) });
  await work.write("report.json", JSON.stringify(withoutHome(report), null, 2) + "\n");
  signal?.throwIfAborted();
  await work.deliver();
  if (options.triton !== undefined && built !== null) {
    await writeTritonModel(network.graph, options.triton, {
      name: model.name,
      profiles: profilesOf(options.batch, model.dims ?? {}),
      plan: join(out, `${options.norm.family}.plan`),
    });
  }
  return report;
}

const describeCheckpoint = (
  { path, format, stateDict, prefix, settled, ignored }: RecognisedCheckpoint,
) => ({
  path,
  format,
  stateDict,
  prefix,
  settled,
  ignored,
});

/** The folded network and the reference, compiled. */
export function contendersOf(
  model: Model,
  { norm, precision, batch, layerNorm = "layer", skip = [], ...weightOptions }: BuildOptions,
): Contenders {
  const dims = batch.fixed === null ? {} : { B: batch.fixed };
  const contender = (norm: Norm, isReference: boolean): Contender => {
    const weights = chooseWeights(model, norm, { ...weightOptions, isReference });
    const at = (precision: Precision) =>
      compile(model, { weights: weights.open(), precision, norm, dims, layerNorm });
    const network = at(networkPrecision(precision));
    let wide = networkPrecision(precision) === "fp32" ? network : null;
    return {
      norm,
      weights,
      network,
      get wide() {
        return wide ??= at("fp32");
      },
    };
  };
  const primary = contender(norm, false);
  const isAlone = norm.family === model.reference.family || skip.includes("reference");
  return isAlone ? [primary] : [primary, contender(model.reference, true)];
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
  { model, work, options: { batch, engine, precision, onEvent, signal } }: Stage,
  { library, onPhase }: Pick<EngineOptions, "onPhase"> & { library: string },
): Promise<BuiltEngine> {
  let done = 0;
  return await buildEngine(network.graph, {
    ...engine,
    tf32: precision === "tf32",
    path: work.path(`${norm.family}.plan`),
    library,
    ...(onPhase && { onPhase }),
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
