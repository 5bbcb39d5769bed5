/**
 * A network in 8-bit whole numbers for CPUs, or a refusal: products are quantized, the result is held against
 * the network in float, and while it is too far off, products are given back to float
 * (`gate.ts`).
 */
import type { Int8Target } from "../../ir/dtype.ts";
import type { Graph } from "../../ir/graph.ts";
import type { Int8Report } from "../../report/report.ts";
import { INT8 } from "../../rewrite/backends/onnxruntime.ts";
import { inBytes, integerProducts, quantizable } from "../../rewrite/backends/quantize.ts";
import { runPipeline } from "../../rewrite/pass.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import { calibrate } from "./calibrate.ts";
import type { CalibratedProduct } from "./product.ts";
import { runExamples } from "../evaluate.ts";
import type { Examples } from "../examples.ts";
import { type Limits, withinLimits } from "./gate.ts";
import type { CalibrationOptions } from "./methods.ts";
import { smoothed } from "./smooth.ts";
import { checkWholeNumbers } from "./whole_numbers.ts";

export interface QuantizeOptions extends Limits, CalibrationOptions {
  /** The processors it is for. */
  readonly target: Int8Target;
  /** What ranges are taken from. */
  readonly samples: Examples;
  readonly batch: number;
  /** Writes a graph where a session can open it. */
  readonly onnx: (graph: Graph) => Promise<string>;
  readonly signal?: AbortSignal | undefined;
}

export type QuantizedNetwork =
  & Pick<
    Int8Report,
    "quantized" | "products" | "smoothQuant" | "inFloat" | "samples" | "sums" | "gate" | "passes"
  >
  & {
    readonly graph: Graph;
  };

/**
 * @param graph optimized, in fp32
 * @throws {UnfoldError} the result loses too much, with half of the products in float still, or this
 * processor adds whole numbers up wrongly
 */
export async function quantize(graph: Graph, options: QuantizeOptions): Promise<QuantizedNetwork> {
  const { target, samples, labelled, batch, onnx, signal } = options;
  const smooth = await smoothed(graph, { ...options, examples: samples });
  const { graph: float, trace } = runPipeline(smooth.graph, INT8);
  const products = await calibrate(float, productsOf(float, target), {
    ...options,
    examples: samples,
  });
  const examples = labelled ?? samples;
  const quantized = (chosen: readonly CalibratedProduct[]) =>
    runPipeline(float, integerProducts(new Map(chosen.map(({ node, how }) => [node, how]))));
  // Before the limits: no other samples or limits could mend wrong sums.
  const sums = await checkWholeNumbers(quantized(products).graph, { target, onnx, signal });
  const { made, kept, gate } = await withinLimits(products, {
    ...options,
    what: `${graph.name} in int8`,
    float: "fp32",
    make: quantized,
    reference: float,
    run: async (graph) => {
      signal?.throwIfAborted();
      await using session = await sessionFromOnnx(await onnx(graph));
      return await runExamples(session, examples, batch);
    },
  });
  const { accuracy } = gate;
  return {
    graph: made.graph,
    quantized: products.length - kept.length,
    products: products.length,
    inFloat: kept,
    samples: samples.count,
    ...smooth.report,
    sums,
    gate: {
      ...gate,
      limit: gate.limit!,
      accuracy: accuracy && { fp32: accuracy.fp32, int8: accuracy.quantized, examples: accuracy.examples },
    },
    passes: [...trace, ...made.trace],
  };
}

/** Every product in fp32, with its input. */
export function productsOf(float: Graph, target: Int8Target) {
  const { weight } = inBytes({ step: 1, zero: 0 }, target);
  return new Map(
    quantizable(float).filter(({ type }) => type.dtype === "fp32").map((node) => [
      node,
      { input: "uint8", weight, kernels: 0, x: node.inputs[0]! } as const,
    ]),
  );
}
