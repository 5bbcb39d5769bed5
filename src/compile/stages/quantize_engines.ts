/** The engines' networks with products in fewer bits, or the build is refused before any engine is built. */
import type { Graph } from "../../ir/graph.ts";
import type { QuantizationReport } from "../../report/report.ts";
import { sampleInputs } from "../examples.ts";
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";
import { quantizeForEngine } from "../quantize/engine.ts";
import { calibrationName } from "../quantize/methods.ts";

export const quantizeEngines: Stage<Has<"order" | "networks" | "examples" | "work">, Has<"quantized">> = {
  name: "quantize",
  says: ({ order: { quantize } }) => `quantizing to ${quantize!.to}`,
  when: ({ order: { quantize } }) => quantize !== undefined,
  otherwise: { quantized: null },
  run: async ({ order, networks, examples, work }, { signal }) => {
    const { model, batch, targets, skip = [] } = order;
    const { to, placement, calibrate, calibration, calibrationCache, smoothQuant, biasCorrection } = order
      .quantize!;
    const { maxAccuracyDrop, maxOutputError } = order.quantize!;
    const samples = calibrate === undefined ? examples : sampleInputs(model, calibrate);
    const isChecked = !skip.includes("check");
    const graphs = new Map<Graph, Graph>();
    let folded: readonly string[] = [];
    const report: QuantizationReport = {
      to,
      placement: typeof placement === "string" ? placement : placement.join(","),
      samples: to === "int4w" && !isChecked ? null : samples.count,
      ...(to !== "int4w" && to !== "nvfp4" && { calibration: calibrationName(calibration) }),
      biasCorrection,
      networks: {},
    };
    for (const [i, { norm: { family }, network, weights }] of networks.entries()) {
      const labelled = examples.labels !== null && weights.trained ? examples : null;
      // The reference is only there to be compared with.
      const limits = i === 0
        ? { labelled, maxAccuracyDrop, maxOutputError }
        : { labelled, maxAccuracyDrop: Infinity, maxOutputError: Infinity };
      const { graph, products, report: ofNetwork } = await quantizeForEngine(network.graph, {
        to,
        placement,
        targets,
        keep: model.keep,
        samples,
        calibration,
        calibrationCache,
        smoothQuant,
        biasCorrection,
        limits: isChecked ? limits : null,
        batch: batch.timed,
        onnx: (graph) => work.onnx(graph),
        signal,
      });
      graphs.set(network.graph, graph);
      if (i === 0) folded = products;
      report.networks[family] = ofNetwork;
    }
    return { quantized: { graphs, products: folded, report } };
  },
};
