/**
 * A network of which TensorRT is given some products in fewer bits, and how far its outputs move by that,
 * emulated on the CPU: quantized values in fp32 arithmetic. What is not executed is the engine itself.
 */
import type { Keep } from "../../dsl/model.ts";
import type { Target } from "../../emit/targets.ts";
import type { EngineQuantization } from "../../ir/dtype.ts";
import type { Graph } from "../../ir/graph.ts";
import type { QuantizationReport } from "../../report/report.ts";
import { quantizable, quantizeLinears } from "../../rewrite/backends/quantize.ts";
import { forQuantization, placed, type Placement } from "../../rewrite/backends/tensorrt_quantized.ts";
import { widen } from "../../rewrite/backends/widen.ts";
import { runPipeline } from "../../rewrite/pass.ts";
import { ANYTHING } from "../../rewrite/spec.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import { calibrate } from "./calibrate.ts";
import type { CalibratedProduct } from "./product.ts";
import { runExamples } from "../evaluate.ts";
import type { Examples } from "../examples.ts";
import { smoothed } from "./smooth.ts";
import { type Limits, withinLimits } from "./gate.ts";
import type { CalibrationOptions } from "./methods.ts";

export interface EngineQuantizeOptions extends CalibrationOptions {
  readonly to: EngineQuantization;
  readonly placement: Placement;
  /** The GPUs that the engine is for; as for `buildEngine`. */
  readonly targets: readonly Target[] | undefined;
  readonly keep?: Keep | undefined;
  /** What ranges are taken from. */
  readonly samples: Examples;
  /** Null: outputs are not looked at. */
  readonly limits: Limits | null;
  readonly batch: number;
  /** Writes a graph where a session can open it. */
  readonly onnx: (graph: Graph) => Promise<string>;
  readonly signal?: AbortSignal | undefined;
}

export interface QuantizedEngine {
  /** As TensorRT is given it. */
  readonly graph: Graph;
  /** The products that are quantized, by name. */
  readonly products: readonly string[];
  readonly report: NonNullable<QuantizationReport["networks"]["un"]>;
}

/**
 * @param optimized in fp16, not yet lowered
 * @throws {UnfoldError} there is nothing to quantize, or the result loses too much
 */
export async function quantizeForEngine(
  optimized: Graph,
  { to, placement, targets, keep, samples, limits, batch, onnx, signal, ...calibrating }:
    EngineQuantizeOptions,
): Promise<QuantizedEngine> {
  const watched = { examples: samples, batch, onnx, signal };
  const smooth = await smoothed(optimized, { ...calibrating, ...watched });
  const { graph: lowered, trace } = runPipeline(smooth.graph, forQuantization(to));
  // A plan for no GPUs by name has those of compute capability 12 in it.
  const perRow = targets === undefined || targets.some((target) => target.startsWith("12."));
  const chosen = placed(lowered, { to, placement, perRow, keep });
  const { graph: wide, origins } = widen(lowered);
  const widened = new Map([...origins].map(([wide, narrow]) => [narrow, wide]));
  const products = [...chosen.values()].every(({ input }) => input === null) && !calibrating.biasCorrection
    ? [...chosen].map(([node, { weight, kernels }]) => ({ node, how: { input: null, weight }, kernels }))
    : await calibrate(
      wide,
      new Map([...chosen].map(([node, how]) => [node, { ...how, x: widened.get(node.inputs[0]!)! }])),
      { ...calibrating, ...watched },
    );
  const make = (products: readonly CalibratedProduct[]) =>
    runPipeline(lowered, {
      name: to,
      takes: ANYTHING,
      passes: [quantizeLinears(new Map(products.map(({ node, how }) => [node, how])))],
      leaves: ANYTHING,
    });
  const { made, kept, gate } = limits === null
    ? { made: make(products), kept: [], gate: null }
    : await withinLimits(products, {
      ...limits,
      what: `${optimized.name} in ${to}`,
      float: "fp16",
      make,
      reference: lowered,
      run: async (graph) => {
        signal?.throwIfAborted();
        // As it is written: where ONNX Runtime merges what is quantized, it may round otherwise.
        await using session = await sessionFromOnnx(await onnx(widen(graph).graph), { optimized: false });
        return await runExamples(session, limits.labelled ?? samples, batch);
      },
    });
  const inFloat = new Set(kept.map(({ name }) => name));
  return {
    graph: made.graph,
    products: products.map(({ node }) => node.name).filter((name) => !inFloat.has(name)),
    report: {
      products: quantizable(lowered).length,
      quantized: products.length - kept.length,
      ...smooth.report,
      inFloat: kept,
      gate,
      passes: [...trace, ...made.trace],
    },
  };
}
