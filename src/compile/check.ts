/**
 * Agreement and accuracy of a build: the same examples through the folded network, the unfolded one and the reference,
 * compared with the training framework's own outputs where the model has them, else with the unfolded network.
 */
import { UnfoldError } from "../errors.ts";
import { isNarrow } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import type { NormFamily } from "../norms/families.ts";
import type { NetworkRanges, ParityReport, RangesReport, Report } from "../report/report.ts";
import { asOnnx } from "../rewrite/backends/onnx_forms.ts";
import { accuracy } from "../run/compare.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import {
  discrepancy,
  type ExampleOutputs,
  type Expected,
  frameworkOutputs,
  runExamples,
} from "./evaluate.ts";
import type { Contender, Stage } from "./mod.ts";
import { ASSUMED, originOf, overflowOf, runRounded, summaryOf } from "./ranges.ts";

/** What is known of networks as emitted, before they are built. */
export interface Rounded {
  readonly ranges: RangesReport | null;
  /** Their outputs, by network. */
  readonly outputs: ReadonlyMap<Graph, ExampleOutputs>;
}

/**
 * Runs the networks of a build in fp16 or bf16 as an engine would round them; of fp32 there is nothing to round.
 *
 * @throws {UnfoldError} a tensor overflows, unless that is allowed; of a reference that was never trained it is only reported
 */
export async function roundNetworks(
  { model, contenders, examples, work, options: { batch, precision, allowOverflow = false, signal } }: Stage,
): Promise<Rounded> {
  const outputs = new Map<Graph, ExampleOutputs>();
  if (!isNarrow(precision)) return { ranges: null, outputs };
  const networks: Partial<Record<NormFamily, NetworkRanges>> = {};
  const ranges: RangesReport = {
    precision,
    samples: { origin: originOf(model), count: examples.count },
    assumed: ASSUMED,
    networks,
  };
  for (const [i, contender] of contenders.entries()) {
    if (contender === undefined) continue;
    const { norm: { family }, network: { graph }, weights: { trained } } = contender;
    const run = await runRounded(graph, {
      precision,
      examples,
      // One after the other where the network allows it, since every tensor is in memory several times.
      batch: batch.fixed ?? 1,
      write: (graph, probe) => work.onnx(graph, probe),
      signal,
    });
    outputs.set(graph, run.outputs);
    networks[family] = summaryOf(run.tensors);
    const overflow = overflowOf(ranges, { family, trained });
    if (overflow !== null && !allowOverflow && (i === 0 || trained)) throw overflow;
  }
  return { ranges, outputs };
}

/** Runs every other network that is compared, one after the other, each at most once. */
export async function checkOutputs(
  { contenders: [primary, reference], examples, options: { batch, precision, onnx, signal }, work }: Stage,
  rounded: Rounded,
): Promise<Pick<Report, "parity" | "accuracy">> {
  const outputs = new Map<Graph, ExampleOutputs>(rounded.outputs);
  const outputsOf = async (graph: Graph): Promise<ExampleOutputs> => {
    signal?.throwIfAborted();
    const known = outputs.get(graph);
    if (known !== undefined) return known;
    await using session = await sessionFromOnnx(await work.onnx(graph));
    const value = await runExamples(session, examples, batch.timed);
    // Without labels nothing is asked for twice, and the logits of a language model are large.
    if (examples.labels !== null) outputs.set(graph, value);
    return value;
  };
  const { family } = primary.norm;
  const output = primary.wide.graph.outputs[0]!.name;
  const known = ({ norm, weights }: Contender) =>
    weights.trained ? frameworkOutputs(examples, { family: norm.family, output }) : null;
  const expected: Expected = known(primary) ?? {
    outputs: await outputsOf(primary.wide.traced),
    against: "the unfolded network, random examples",
    isTruth: false,
  };
  const wide = { network: "folded network", precision: "fp32" } as const;
  // Judged as the file has it.
  const folded = ({ wide }: Contender) => asOnnx(wide.graph, onnx);
  const parity = discrepancy(await outputsOf(folded(primary)), expected, wide);
  let narrow: ParityReport["emitted"] = null;
  let problem: string | null = null;
  if (isNarrow(precision)) {
    const network = { network: "folded network", precision };
    try {
      narrow = { ...discrepancy(await outputsOf(primary.network.graph), expected, network), precision };
    } catch (error) {
      // An engine that was allowed to overflow: the report says so.
      if (!(error instanceof UnfoldError)) throw error;
      problem = error.message;
    }
  }
  const truth = reference === undefined ? null : known(reference);
  const referenceParity = truth === null || reference === undefined
    ? null
    : discrepancy(await outputsOf(folded(reference)), truth, {
      network: "reference network",
      precision: "fp32",
    });

  const scores: Record<string, number> = {};
  const { labels } = examples;
  if (labels !== null && primary.weights.trained && problem === null) {
    const score = async (graph: Graph) => accuracy((await outputsOf(graph))[output]!, labels);
    // As emitted; the network before the fold is not, so it is in fp32.
    scores[`${family}Folded`] = await score(primary.network.graph);
    scores[`${family}Unfolded`] = await score(primary.wide.traced);
    if (reference?.weights.trained) {
      scores[reference.norm.family] = await score(reference.network.graph);
    }
  }
  return {
    parity: { ...parity, precision: "fp32", emitted: narrow, problem, reference: referenceParity },
    accuracy: Object.keys(scores).length > 0 ? scores : null,
  };
}
