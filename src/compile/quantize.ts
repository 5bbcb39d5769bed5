/**
 * A network in 8-bit whole numbers for CPUs, or a refusal: products are quantized, the result is held against
 * the network in float, and while it is too far off, the products that lose most are given back to float. The
 * measure is accuracy on the model's labelled data where there is some, else how far outputs move on the
 * sample inputs.
 */
import { UnfoldError } from "../errors.ts";
import type { Int8Target } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import type { Int8Report } from "../report/report.ts";
import { INT8 } from "../rewrite/backends/onnxruntime.ts";
import { quantization } from "../rewrite/backends/quantize.ts";
import { runPipeline } from "../rewrite/pass.ts";
import { accuracy } from "../run/compare.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { calibrate, type CalibratedLinear } from "./calibrate.ts";
import { type ExampleOutputs, runExamples } from "./evaluate.ts";
import type { Examples } from "./examples.ts";
import { checkWholeNumbers } from "./whole_numbers.ts";

export interface QuantizeOptions {
  /** The processors it is for. */
  readonly target: Int8Target;
  /** What ranges are taken from. */
  readonly samples: Examples;
  /** What accuracy is measured on; null: outputs are compared on the samples. */
  readonly labelled: Examples | null;
  /** In points: 0.5 is 99.0 % to 98.5 %. */
  readonly maxAccuracyDrop: number;
  /** The largest relative difference of outputs, root mean square, where there are no labels. */
  readonly maxOutputError: number;
  readonly batch: number;
  /** Writes a graph where a session can open it. */
  readonly onnx: (graph: Graph) => Promise<string>;
  readonly signal?: AbortSignal | undefined;
}

export type QuantizedNetwork =
  & Pick<Int8Report, "quantized" | "products" | "inFloat" | "samples" | "sums" | "gate" | "passes">
  & {
    readonly graph: Graph;
  };

/** The part of the products that may stay in float: beyond it int8 is no longer worth its risk. */
const MOST_IN_FLOAT = 0.5;

/**
 * @param graph optimized, in fp32
 * @throws {UnfoldError} the result loses too much, with half of the products in float still, or this
 * processor adds whole numbers up wrongly
 */
export async function quantize(graph: Graph, options: QuantizeOptions): Promise<QuantizedNetwork> {
  const { target, samples, labelled, batch, onnx, signal } = options;
  const { graph: float, trace } = runPipeline(graph, INT8);
  const products = await calibrate(float, { target, examples: samples, batch, onnx, signal });
  const worstFirst = products.toSorted((a, b) => b.error - a.error);
  const examples = labelled ?? samples;
  const run = async (graph: Graph) => {
    signal?.throwIfAborted();
    await using session = await sessionFromOnnx(await onnx(graph));
    return await runExamples(session, examples, batch);
  };
  const expected = await run(float);
  const quantized = (chosen: readonly CalibratedLinear[]) =>
    runPipeline(float, quantization(new Map(chosen.map(({ node, attrs }) => [node, attrs])), target));
  // Before the limits: no other samples or limits could mend wrong sums.
  const sums = await checkWholeNumbers(quantized(products).graph, { target, onnx, signal });
  for (let kept = 0;; kept = Math.max(1, 2 * kept)) {
    const chosen = worstFirst.slice(kept);
    const { graph, trace: quantizing } = quantized(chosen);
    const gate = judge(await run(graph), { ...options, expected, labels: labelled?.labels ?? null });
    if (gate.passed) {
      return {
        graph,
        quantized: chosen.length,
        products: products.length,
        inFloat: worstFirst.slice(0, kept).map(({ node, error }) => ({ name: node.name, error })),
        samples: samples.count,
        sums,
        gate,
        passes: [...trace, ...quantizing],
      };
    }
    if (2 * Math.max(1, kept) > MOST_IN_FLOAT * products.length) throw refusal(graph.name, gate, kept);
  }
}

type Gate = Int8Report["gate"];

function judge(
  actual: ExampleOutputs,
  { expected, labels, maxAccuracyDrop, maxOutputError }: {
    expected: ExampleOutputs;
    labels: Float64Array | null;
    maxAccuracyDrop: number;
    maxOutputError: number;
  },
): Gate {
  const outputError = relativeError(actual, expected);
  if (labels === null) {
    return { passed: outputError <= maxOutputError, outputError, limit: maxOutputError, accuracy: null };
  }
  const [output] = Object.keys(expected);
  const fp32 = accuracy(expected[output!]!, labels);
  const int8 = accuracy(actual[output!]!, labels);
  return {
    // One part in 10^9 of a point is rounding of the difference.
    passed: 100 * (fp32 - int8) <= maxAccuracyDrop + 1e-9 && Number.isFinite(outputError),
    outputError,
    limit: maxAccuracyDrop,
    accuracy: { fp32, int8, examples: labels.length },
  };
}

/** Root mean square of all outputs' differences over that of their values; infinite where one is. */
function relativeError(actual: ExampleOutputs, expected: ExampleOutputs): number {
  let [wrong, right] = [0, 0];
  for (const [name, { data }] of Object.entries(expected)) {
    const other = actual[name]!.data;
    data.forEach((value, i) => {
      wrong += (other[i]! - value) ** 2;
      right += value * value;
    });
  }
  return Number.isFinite(wrong) ? Math.sqrt(wrong / (right || 1)) : Infinity;
}

function refusal(name: string, { accuracy, outputError, limit }: Gate, kept: number): UnfoldError {
  const inFloat = kept === 0 ? "" : `, with the ${kept} products that lose most in float`;
  const advice = "give other or more sample inputs with --calibrate";
  if (accuracy === null) {
    return new UnfoldError(
      `${name} in int8: the outputs are off by ${
        (100 * outputError).toFixed(1)
      } %${inFloat}; --max-output-error allows ` +
        `${(100 * limit).toFixed(1)} %; ${advice}, allow more, or stay with --precision fp32`,
    );
  }
  const percent = (value: number) => `${(100 * value).toFixed(2)} %`;
  return new UnfoldError(
    `${name} in int8: accuracy falls from ${percent(accuracy.fp32)} to ${percent(accuracy.int8)} of ` +
      `${accuracy.examples} examples${inFloat}; --max-accuracy-drop allows ${limit} points; ${advice}, allow more, or ` +
      "stay with --precision fp32",
  );
}
