/**
 * The whole line: a model to two engines, two ONNX files and a report that says what was folded, how exactly and how
 * fast. Everything is made in a folder beside the output folder and moved into place at the end, so that a failure or
 * Ctrl-C leaves what was there before.
 */
import { dirname, join, resolve } from "node:path";
import os from "node:os";
import type { Model } from "../dsl/model.ts";
import { writeOnnx } from "../emit/onnx.ts";
import { buildEngine, type BuiltEngine, locateLibrary } from "../emit/tensorrt.ts";
import { UnfoldError } from "../errors.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import type { Norm } from "../norms/mod.ts";
import { inspectPlanFile } from "../report/plan.ts";
import { type Report, ReportSchema } from "../report/schema.ts";
import { remainingNorms } from "../rewrite/pipeline.ts";
import { accuracy } from "../run/compare.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { type Batch, profilesOf } from "./batch.ts";
import {
  discrepancy,
  type ExampleOutputs,
  frameworkOutputs,
  loadExamples,
  runExamples,
  runsOnCpu,
} from "./evaluate.ts";
import { timeNetworks } from "./latency.ts";
import { chooseWeights, compile, type Network, type WeightChoice, type WeightOptions } from "./networks.ts";

export const VERSION = "0.1.0";

/** What a build tells while it works. */
export type BuildEvent =
  | { readonly kind: "step"; readonly text: string }
  | { readonly kind: "progress"; readonly text: string; readonly done: number; readonly total: number };

export interface BuildOptions extends WeightOptions {
  readonly norm: Norm;
  readonly precision: Precision;
  readonly batch: Batch;
  /** Output folder; made if it is not there. */
  readonly out: string;
  /** Whether to measure latency. */
  readonly time: boolean;
  readonly tensorrtLib?: string | undefined;
  readonly onEvent?: (event: BuildEvent) => void;
  readonly signal?: AbortSignal;
}

/** One contender: a normalization's networks and what is made of them. */
interface Contender {
  readonly norm: Norm;
  readonly weights: WeightChoice;
  /** In the precision of the engine. */
  readonly network: Network;
  /** In fp32, for the algebra and for CPUs. */
  readonly wide: Network;
}

/**
 * Builds a model with its normalization folded, and the same model with the reference normalization.
 *
 * @returns the report, which is also written to `report.json`
 */
export async function buildModel(model: Model, options: BuildOptions): Promise<Report> {
  const { out, onEvent = () => {}, signal } = options;
  const step = (text: string) => {
    signal?.throwIfAborted();
    onEvent({ kind: "step", text });
  };
  step("describing the networks");
  const contenders = describe(model, options);
  await using folder = await workFolder(out);
  const work = folder.path;
  step("finding TensorRT");
  const library = await locateLibrary({
    flag: options.tensorrtLib,
    ...(signal && { signal }),
    onProgress: ({ phase, doneBytes, totalBytes }) =>
      onEvent({
        kind: "progress",
        text: phase === "download" ? "downloading TensorRT, once" : "unpacking TensorRT",
        done: doneBytes,
        total: totalBytes,
      }),
  });
  const engines: Report["engines"] = {};
  let built: BuiltEngine | undefined;
  for (const contender of contenders) {
    built = await emit(model, contender, { ...options, work, library: library.path, engines, step });
  }
  step("comparing outputs");
  const checked = await check(model, contenders, { ...options, work });
  step(options.time ? "timing" : "writing the report");
  const latency = options.time ? await timeNetworks(model, contenders, { ...options, work, gpu: { library: library.path, cudartPath: library.cudartPath } }) : null;
  const [primary] = contenders as [Contender];
  const found = primary.network.norms;
  const report = ReportSchema.parse({
    schema: 1,
    model: model.name,
    precision: options.precision,
    batch: options.batch.text,
    norms: {
      found: found.length,
      folded: found.filter(({ folded }) => folded).length,
      remaining: remainingNorms(primary.network.graph),
      where: [...found],
    },
    passes: [...primary.network.trace],
    engines,
    ...checked,
    latency,
    environment: {
      unfold: VERSION,
      deno: Deno.version.deno,
      os: `${Deno.build.os} ${Deno.build.arch}`,
      cpu: os.cpus()[0]?.model ?? "unknown",
      cores: navigator.hardwareConcurrency,
      tensorrt: { ...built!.library, source: library.source },
    },
  });
  await Deno.writeTextFile(join(work, "report.json"), JSON.stringify(report, null, 2) + "\n");
  signal?.throwIfAborted();
  await moveInto(work, out);
  return report;
}

function describe(model: Model, { norm, precision, batch, ...weightOptions }: BuildOptions): Contender[] {
  const dims = batch.fixed === null ? {} : { B: batch.fixed };
  const norms = norm.family === model.reference.family ? [norm] : [norm, model.reference];
  return norms.map((norm) => {
    const weights = chooseWeights(model, norm, weightOptions);
    const at = (precision: Precision) => compile(model, { weights: weights.open(), precision, norm, dims });
    const network = at(precision);
    return { norm, weights, network, wide: precision === "fp32" ? network : at("fp32") };
  });
}

interface Work extends BuildOptions {
  readonly work: string;
}

/** Builds one engine and its ONNX twin; adds them to `engines`. */
async function emit(
  model: Model,
  { norm, network, weights }: Contender,
  options: Work & { library: string; engines: Report["engines"]; step: (text: string) => void },
): Promise<BuiltEngine> {
  const { work, out, batch, engines, step, onEvent, signal } = options;
  const label = `${norm.family}.plan (${norm.label})`;
  step(`building ${label}`);
  let done = 0;
  const engine = await buildEngine(network.graph, {
    path: join(work, `${norm.family}.plan`),
    library: options.library,
    profiles: profilesOf(batch, model.dims ?? {}),
    ...(signal && { signal }),
    onProgress: (event) => {
      // TensorRT announces phases as it goes, so the whole is not known: steps done are what there is to show.
      if (event.kind === "step") {
        onEvent?.({ kind: "progress", text: `building ${label}`, done: ++done, total: 0 });
      }
    },
  });
  const onnx = await writeOnnx(network.graph, join(work, `${norm.family}.onnx`));
  const plan = await inspectPlanFile(engine.path);
  engines[norm.family] = {
    path: join(out, `${norm.family}.plan`),
    bytes: engine.byteLength,
    layers: engine.layers,
    kernels: plan.kernels,
    normalizationKernels: plan.normalizationKernels,
    buildMs: engine.phases.buildMs,
    phases: engine.phases,
    onnx: { path: join(out, `${norm.family}.onnx`), bytes: onnx.byteLength, nodes: onnx.nodes },
    weights: weights.trained
      ? weights.origin
      : `${weights.origin} (for timing only: not trained with this normalization)`,
  };
  return engine;
}

/** Parity and accuracy of the folded network, the unfolded one and the reference. */
async function check(
  model: Model,
  contenders: readonly Contender[],
  { work, batch, precision }: Work,
): Promise<Pick<Report, "parity" | "accuracy">> {
  const size = batch.fixed ?? batch.timed;
  const dims = Object.fromEntries(Object.entries(model.dims ?? {}).map(([name, { opt }]) => [name, opt]));
  const examples = loadExamples(model, { count: size, dims });
  const outputsOf = async (graph: Graph): Promise<ExampleOutputs> => {
    const path = join(work, `check-${crypto.randomUUID()}.onnx`);
    const { paths } = await writeOnnx(graph, path);
    try {
      await using session = await sessionFromOnnx(path);
      return await runExamples(session, examples, size);
    } finally {
      for (const file of paths) await Deno.remove(file);
    }
  };
  const [primary, reference] = contenders as [Contender, Contender | undefined];
  const { family } = primary.norm;
  const folded = await outputsOf(primary.wide.graph);
  const unfolded = await outputsOf(primary.wide.traced);
  const framework = primary.weights.trained ? frameworkOutputs(examples, family) : null;
  const expected = framework ?? { outputs: unfolded, against: "the unfolded network, random examples" };
  const isNarrow = precision !== "fp32" && runsOnCpu(precision);
  const emitted = isNarrow ? await outputsOf(primary.network.graph) : null;

  const scores: Record<string, number> = {};
  if (examples.labels !== null && primary.weights.trained) {
    scores[`${family}Folded`] = accuracy(emitted ?? folded, examples.labels);
    const plain = isNarrow ? await outputsOf(primary.network.traced) : unfolded;
    scores[`${family}Unfolded`] = accuracy(plain, examples.labels);
    if (reference?.weights.trained) {
      const network = isNarrow ? reference.network : reference.wide;
      scores[reference.norm.family] = accuracy(await outputsOf(network.graph), examples.labels);
    }
  }
  return {
    parity: {
      ...discrepancy(folded, expected.outputs, expected.against),
      precision: "fp32",
      emitted: emitted && { ...discrepancy(emitted, expected.outputs, expected.against), precision },
    },
    accuracy: Object.keys(scores).length > 0 ? scores : null,
  };
}

/**
 * A folder beside the output folder, on the same file system so that files can be renamed into place. Disposal removes
 * it, and the folders above it that were made for it and are still empty.
 */
async function workFolder(out: string): Promise<AsyncDisposable & { readonly path: string }> {
  const path = resolve(`${out.replace(/[/\\]+$/, "")}.${crypto.randomUUID()}.part`);
  const made: string[] = [];
  for (let above = dirname(path); !await exists(above); above = dirname(above)) made.push(above);
  const remove = async () => {
    await Deno.remove(path, { recursive: true }).catch(() => {});
    for (const folder of made) await Deno.remove(folder).catch(() => {});
  };
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    await remove();
    throw unwritable(out, error);
  }
  return { path, [Symbol.asyncDispose]: remove };
}

function exists(path: string): Promise<boolean> {
  return Deno.lstat(path).then(() => true, () => false);
}

async function moveInto(work: string, out: string): Promise<void> {
  try {
    await Deno.mkdir(out, { recursive: true });
    for await (const { name } of Deno.readDir(work)) await Deno.rename(join(work, name), join(out, name));
  } catch (error) {
    throw unwritable(out, error);
  }
}

function unwritable(out: string, error: unknown): UnfoldError {
  const reason = error instanceof Error
    ? error.message.replace(/\s*\(os error \d+\).*$/s, "")
    : String(error);
  return new UnfoldError(`cannot write to ${out}: ${reason}; give another folder with --out`);
}

export type { Batch, Contender, Work };
