/**
 * Agreement and accuracy of a build: the same examples through the folded network, the unfolded one and the reference,
 * compared with the training framework's own outputs where the model has them, else with the unfolded network.
 */
import { UnfoldError } from "../errors.ts";
import type { Graph } from "../ir/graph.ts";
import type { ParityReport, Report } from "../report/schema.ts";
import { asOnnx } from "../rewrite/onnx_forms.ts";
import { accuracy } from "../run/compare.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import {
  discrepancy,
  type ExampleOutputs,
  type Expected,
  frameworkOutputs,
  runExamples,
  runsOnCpu,
} from "./evaluate.ts";
import type { Contender, Stage } from "./mod.ts";

/** Runs every network that is compared, one after the other, each at most once. */
export async function checkOutputs(
  { contenders: [primary, reference], examples, options: { batch, precision, onnx, signal }, work }: Stage,
): Promise<Pick<Report, "parity" | "accuracy">> {
  const outputs = new Map<Graph, ExampleOutputs>();
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
  // Accuracy is that of the networks as emitted, where this machine can run them.
  const emitted = ({ network, wide }: Contender) => runsOnCpu(precision) ? network : wide;
  const own = emitted(primary);
  let narrow: ParityReport["emitted"] = null;
  let problem: string | null = null;
  if (precision !== "fp32" && runsOnCpu(precision)) {
    const network = { network: "folded network", precision };
    try {
      narrow = { ...discrepancy(await outputsOf(own.graph), expected, network), precision };
    } catch (error) {
      // An engine that overflows is still an engine: the report says so, and the command fails where it was trained.
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
    scores[`${family}Folded`] = await score(own.graph);
    scores[`${family}Unfolded`] = await score(own.traced);
    if (reference?.weights.trained) {
      scores[reference.norm.family] = await score(emitted(reference).graph);
    }
  }
  return {
    parity: { ...parity, precision: "fp32", emitted: narrow, problem, reference: referenceParity },
    accuracy: Object.keys(scores).length > 0 ? scores : null,
  };
}
