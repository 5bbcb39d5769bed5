/**
 * One build of a model for a baseline or a run: the network that CPUs time, the plan, what they consist of, and how far
 * outputs are from what they should be. The reference normalization is left out: what is compared is two builds of one
 * network.
 */
import { join } from "node:path";
import type { Batch } from "../compile/batch.ts";
import { checkOutputs, roundNetworks } from "../compile/check.ts";
import { type Examples, loadExamples, openSizes } from "../compile/evaluate.ts";
import { type BuildOptions, contendersOf, emitEngine, findLibrary, type Stage } from "../compile/mod.ts";
import type { WeightOptions } from "../compile/networks.ts";
import { Workshop } from "../compile/workshop.ts";
import type { Model } from "../dsl/model.ts";
import type { EnginePrecision } from "../ir/dtype.ts";
import { bindShape, showShape } from "../ir/shape.ts";
import type { Norm } from "../norms/families.ts";
import type { Target } from "../emit/targets.ts";
import { inspectPlanFile } from "../report/plan.ts";
import { asOnnx } from "../rewrite/backends/onnx_forms.ts";
import type { LayerNormForm } from "../rewrite/fold/recentre.ts";
import type { Agreement, Structure } from "./manifest.ts";
import { structureOf } from "./structure.ts";

/** A model and how to compile it. */
export interface Subject {
  readonly model: Model;
  readonly norm: Norm;
  readonly precision: EnginePrecision;
  readonly layerNorm: LayerNormForm;
  readonly batch: Batch;
  readonly weights: WeightOptions;
  /** The GPUs the engine is for; as for `buildEngine`. */
  readonly targets?: readonly Target[] | undefined;
  /** Whether what overflows fp16 or bf16 on the examples is no failure; default: it is one. */
  readonly allowOverflow?: boolean | undefined;
}

export interface Building {
  /** Where the files go. */
  readonly folder: string;
  /** Whether to build the TensorRT plan. */
  readonly plans: boolean;
  readonly tensorrtLib?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: BuildOptions["onEvent"];
}

/** A TensorRT library, and what it calls itself. */
export interface Library {
  readonly path: string;
  /** "rtx 1.7.1". */
  readonly version: string;
}

export interface Build {
  /** In fp32, as CPUs run it fastest. */
  readonly onnxPath: string;
  readonly planPath: string | null;
  readonly library: Library | null;
  readonly structure: Structure;
  readonly buildMs: number | null;
  readonly inputs: readonly string[];
  readonly examples: Examples;
}

export interface Checked {
  readonly accuracy: number | null;
  readonly agreement: Agreement;
}

/** Compiles and builds; `check` runs the outputs, each network once. */
export async function build(
  { model, norm, precision, layerNorm, batch, weights, targets, allowOverflow = false }: Subject,
  { folder, plans, tensorrtLib, signal, onEvent }: Building,
): Promise<Build & { check(): Promise<Checked> }> {
  const options: BuildOptions = {
    ...weights,
    norm,
    precision,
    layerNorm,
    batch,
    out: folder,
    time: false,
    tensorrtLib,
    engine: { targets },
    allowOverflow,
    ...(onEvent && { onEvent }),
    ...(signal && { signal }),
  };
  // With itself as reference a model has one contender.
  const alone: Model = { ...model, reference: norm };
  const contenders = contendersOf(alone, options);
  const [primary] = contenders;
  const examples = loadExamples(alone, { count: batch.timed, dims: openSizes(alone) });
  const dims = { ...openSizes(alone), B: batch.timed };
  await using work = await Workshop.open(folder);
  const stage: Stage = { model: alone, contenders, examples, options, work };
  const onnx = `${model.name}.onnx`;
  await work.publish(asOnnx(primary.wide.graph, "onnxruntime"), onnx);
  const library = plans ? await findLibrary(options) : null;
  const built = library === null ? null : await emitEngine(primary, stage, { library: library.path });
  const plan = built === null ? null : await inspectPlanFile(built.path);
  await work.deliver();
  const planPath = built === null ? null : join(folder, `${norm.family}.plan`);
  return {
    onnxPath: join(folder, onnx),
    planPath,
    library: built === null ? null : {
      path: library!.path,
      version: `${built.library.flavour} ${built.library.version}`,
    },
    structure: structureOf(primary.network.graph, { dims, plan }),
    buildMs: built?.phases.buildMs ?? null,
    inputs: primary.wide.graph.inputs.map(({ name, type }) =>
      `${name} ${type.dtype}${showShape(bindShape(type.shape, dims))}`
    ),
    examples,
    check: async () => {
      await using work = await Workshop.open(`${folder}.check`);
      const { parity, accuracy } = await checkOutputs(
        { ...stage, work },
        await roundNetworks({ ...stage, work }),
      );
      // Only a build that was told to compare nothing has no parity, and this one was not.
      const { maxRelError, against, agrees } = parity!;
      return {
        accuracy: accuracy?.[`${norm.family}Folded`] ?? null,
        agreement: { maxRelError, against, agrees },
      };
    },
  };
}
