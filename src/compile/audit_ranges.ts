/** Whether a model's values fit fp16 or bf16, measured without building it: `deno task audit --ranges`. */
import type { Keep, Model } from "../dsl/model.ts";
import { onnxBytes } from "../emit/onnx.ts";
import { isNarrow, type Narrow, type Precision } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import type { Norm } from "../norms/families.ts";
import type { TensorRange } from "../report/report.ts";
import type { PassTrace } from "../rewrite/pass.ts";
import type { OptimizeOptions } from "../rewrite/pipeline.ts";
import { loadExamples, originOf, sampleInputs } from "./examples.ts";
import { proposedKeep } from "./keep_proposal.ts";
import { chooseWeights, compile, type WeightOptions } from "./networks.ts";
import { ASSUMED, rescaleOf, type RoundedRun, runRounded, summaryOf } from "./ranges.ts";

/** Examples looked at at most: ranges settle after few. */
const MOST_EXAMPLES = 32;
const RANDOM_EXAMPLES = 4;

/** The ranges of a model, whichever way it is built. */
export interface RangeAudit {
  readonly model: string;
  readonly family: string;
  readonly precision: Narrow;
  readonly weights: string;
  readonly trained: boolean;
  readonly assumed: string;
  /** Where the inputs came from, and how many examples were looked at. */
  readonly samples: { readonly origin: string; readonly count: number };
  /** Null where a value was infinite or NaN. */
  readonly largest: number | null;
  readonly overflows: number;
  readonly near: number;
  /**
   * What kept besides leaves every range inside, as the run of that network says; empty where nothing
   * overflows, null where that does not help: an input overflows, or a value fp32.
   */
  readonly keep: Keep | null;
  /** What to build it in. */
  readonly advice: Precision | "rescale";
  /** In the order in which they are computed. */
  readonly tensors: readonly TensorRange[];
  /** Every pass from the description to the network that was run. */
  readonly passes: readonly PassTrace[];
}

/**
 * Runs a model with normalization `norm`, as it would be built, and measures every tensor.
 *
 * @param options.precision that of the engine; of fp32 its fp16 is looked at
 * @param options.samples a file with inputs under the model's names; the model's own examples or random ones
 *   unless given
 * @throws {UnfoldError} weights or samples that do not fit
 */
export async function measureRanges(
  model: Model,
  { norm, precision: asked = "fp16", layerNorm = "layer", samples, signal, ...weightOptions }:
    & WeightOptions
    & OptimizeOptions
    & {
      readonly norm: Norm;
      readonly precision?: Precision;
      readonly samples?: string | undefined;
      readonly signal?: AbortSignal | undefined;
    },
): Promise<RangeAudit> {
  const precision = isNarrow(asked) ? asked : "fp16";
  const weights = chooseWeights(model, norm, weightOptions);
  const compiled = (keep: Keep) =>
    compile(model, { weights: weights.open(), norm, precision, layerNorm, keep });
  const { graph, trace } = compiled([]);
  const found = samples === undefined ? loadExamples(model, RANDOM_EXAMPLES) : sampleInputs(model, samples);
  const examples = { ...found, count: Math.min(found.count, MOST_EXAMPLES) };
  const run = (graph: Graph) =>
    runRounded(graph, {
      examples,
      batch: 1,
      signal,
      write: (graph, probe) => Promise.resolve(onnxBytes(graph, { probe })),
    });
  const { tensors, tooNarrow, trace: lowering } = await run(graph);
  const { largest, overflows, near } = summaryOf(tensors);
  const keep = proposedKeep(graph, tooNarrow);
  const isInside = overflows === 0 || (keep.length > 0 && fits(await run(compiled(keep).graph)));
  return {
    model: model.name,
    family: norm.family,
    precision,
    weights: weights.origin,
    trained: weights.trained,
    assumed: ASSUMED,
    samples: { origin: samples ?? originOf(model), count: examples.count },
    largest,
    overflows,
    near,
    keep: isInside ? keep : null,
    advice: overflows === 0
      ? precision
      : rescaleOf(tensors) !== null
      ? "rescale"
      : precision === "fp16"
      ? "bf16"
      : "fp32",
    tensors,
    passes: [...trace, ...lowering],
  };
}

/** Whether nothing overflows; what is kept in fp32 shows in the outputs where it does even there. */
function fits({ tensors, outputs }: RoundedRun): boolean {
  return summaryOf(tensors).overflows === 0 &&
    Object.values(outputs).every(({ data }) => data.every(Number.isFinite));
}
