/**
 * Agreement and accuracy: the same examples through the folded network, the unfolded one and the reference,
 * compared with the training framework's own outputs where the model has them, else with the unfolded
 * network.
 */
import { UnfoldError } from "../../errors.ts";
import { isNarrow } from "../../ir/dtype.ts";
import type { Graph } from "../../ir/graph.ts";
import type { ParityReport } from "../../report/report.ts";
import { asOnnx } from "../../rewrite/backends/onnx_forms.ts";
import { accuracy } from "../../run/compare.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import {
  discrepancy,
  type ExampleOutputs,
  type Expected,
  frameworkOutputs,
  runExamples,
} from "../evaluate.ts";
import { originOf } from "../examples.ts";
import type { Stage } from "../line.ts";
import type { Compiled, Has } from "../known.ts";

/** Runs every network that is compared, one after the other, each at most once; none that `round` has run. */
export const compare: Stage<Has<"order" | "networks" | "examples" | "work" | "rounded">, Has<"compared">> = {
  name: "compare",
  says: () => "comparing outputs",
  when: ({ order: { skip = [] } }) => !skip.includes("check"),
  otherwise: { compared: { parity: null, accuracy: null } },
  run: async ({ order, networks: [primary, reference], examples, work, rounded }, { signal }) => {
    const { batch, precision, onnx } = order;
    const outputs = new Map<Graph, ExampleOutputs>(rounded?.outputs);
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
    const known = ({ norm, weights }: Compiled) =>
      weights.trained ? frameworkOutputs(examples, { family: norm.family, output }) : null;
    const file = order.weights.recognised?.tensors?.path;
    const expected: Expected = known(primary) ??
      (file === undefined || !primary.weights.trained ? null : await ofFile(file, { examples, order })) ?? {
      outputs: await outputsOf(primary.wide.traced),
      against: `the unfolded network on ${originOf(order.model)}`,
      isTruth: false,
    };
    // Judged as the file has it.
    const difference = async ({ wide }: Compiled, expected: Expected, network: string) =>
      discrepancy(await outputsOf(asOnnx(wide.graph, onnx)), expected, { network, precision: "fp32" });
    const parity = await difference(primary, expected, "folded network");
    let emitted: ParityReport["emitted"] = null;
    let problem: string | null = null;
    if (isNarrow(precision)) {
      const network = { network: "folded network", precision };
      try {
        emitted = { ...discrepancy(await outputsOf(primary.network.graph), expected, network), precision };
      } catch (error) {
        // An engine that was allowed to overflow: the report says so.
        if (!(error instanceof UnfoldError)) throw error;
        problem = error.message;
      }
    }
    const truth = reference && known(reference);
    const ofReference = truth ? await difference(reference, truth, "reference network") : null;

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
      compared: {
        parity: { ...parity, precision: "fp32", emitted, problem, reference: ofReference },
        accuracy: Object.keys(scores).length > 0 ? scores : null,
      },
    };
  },
};

/** The outputs of an ONNX file that a network came from, where ONNX Runtime runs it; else null. */
async function ofFile(
  path: string,
  { examples, order }: Has<"examples" | "order">,
): Promise<Expected | null> {
  try {
    // As it says: a product with weights in eight bits is one of whole numbers where it is optimized.
    await using session = await sessionFromOnnx(path, { optimized: false });
    const precision = [...session.inputs, ...session.outputs].map(({ dtype }) => dtype).find(isNarrow);
    return {
      outputs: await runExamples(session, examples, order.batch.timed),
      against: `the file itself, run by ONNX Runtime on ${originOf(order.model)}`,
      isTruth: true,
      precision,
    };
  } catch (error) {
    // A file for another runtime is no mistake.
    if (error instanceof UnfoldError) return null;
    throw error;
  }
}
