/** `report.json`: what the stages before have found, made and measured. */
import { join } from "node:path";
import type { RecognisedCheckpoint } from "../../checkpoints/recognised.ts";
import { withoutHome } from "../../report/home.ts";
import { notExecuted } from "../../report/not_executed.ts";
import { type CheckpointReport, type EngineReport, type Report, ReportSchema } from "../../report/report.ts";
import { remainingNorms } from "../../rewrite/pipeline.ts";
import { environment } from "../../run/environment.ts";
import type { Stage } from "../line.ts";
import type { Emitted, Has } from "../known.ts";

type Told =
  | "order"
  | "provenance"
  | "networks"
  | "work"
  | "rounded"
  | "quantized"
  | "int8"
  | "library"
  | "emitted"
  | "compared"
  | "latency"
  | "int8Latency";

export const report: Stage<Has<Told>, Has<"report">> = {
  name: "report",
  run: async (made, { meter }) => {
    const { order, provenance, networks: [{ network }], emitted, library, rounded, int8 } = made;
    const { recognised } = order.weights;
    const last = emitted.at(-1)!.engine;
    const figures: Report = {
      schema: 1,
      model: order.model.name,
      provenance,
      checkpoint: recognised === undefined ? null : checkpointReport(recognised),
      precision: order.precision,
      targets: last && last.plan.targets,
      batch: order.batch.text,
      dims: order.model.fixedDims,
      norms: {
        found: network.norms.length,
        folded: network.norms.filter(({ folded }) => folded).length,
        remaining: remainingNorms(network.graph),
        where: network.norms,
      },
      passes: network.trace,
      engines: Object.fromEntries(
        emitted.map((one) => [one.network.norm.family, engineReport(one, order.out)]),
      ),
      phases: meter.phases(),
      ranges: rounded && rounded.ranges,
      ...made.compared,
      latency: made.latency,
      quantization: made.quantized && made.quantized.report,
      int8: int8 && { ...int8.report, latency: made.int8Latency },
      environment: {
        ...environment(),
        tensorrt: last && library && {
          version: last.built.library.version,
          flavour: last.built.library.flavour,
          source: library.source,
        },
      },
    };
    const report = ReportSchema.parse({ ...figures, notExecuted: notExecuted(figures) });
    await made.work.write("report.json", JSON.stringify(withoutHome(report), null, 2) + "\n");
    return { report };
  },
};

function engineReport(
  { network: { norm, weights, network }, engine, onnx, onnxPasses }: Emitted,
  out: string,
): EngineReport {
  return {
    path: engine && join(out, `${norm.family}.plan`),
    bytes: engine && engine.built.byteLength,
    layers: engine && engine.built.layers,
    kernels: engine && engine.plan.kernels,
    unknown: engine && engine.plan.unknown,
    normalizationKernels: engine && engine.plan.normalizationKernels,
    buildMs: engine && engine.built.phases.buildMs,
    onnx,
    weights: weights.origin,
    stateDict: weights.stateDict,
    trained: weights.trained,
    kept: network.kept,
    passes: [...engine?.built.passes ?? [], ...onnxPasses],
  };
}

function checkpointReport(
  { path, format, stateDict, prefix, settled, ignored, quantized }: RecognisedCheckpoint,
): CheckpointReport {
  return { path, format, stateDict, prefix, settled, ignored, quantized };
}
