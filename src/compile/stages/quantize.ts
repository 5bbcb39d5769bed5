/** The folded network in int8, one more ONNX file, or the build is refused before anything takes long. */
import { join } from "node:path";
import { sampleInputs } from "../examples.ts";
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";
import { aboutNetwork } from "../networks.ts";
import { quantize as quantizeNetwork } from "../quantize/int8.ts";
import { calibrationName } from "../quantize/methods.ts";

/** The file's own word, in its `metadata_props`, on the processors that it is for. */
const TARGET_KEY = "unfold.int8_for";

export const quantize: Stage<Has<"order" | "networks" | "examples" | "work">, Has<"int8">> = {
  name: "quantize",
  says: () => "quantizing",
  when: ({ order: { int8 } }) => int8 !== undefined,
  otherwise: { int8: null },
  run: async ({ order: { model, batch, out, int8 }, networks: [folded], examples, work }, { signal }) => {
    const { target = "any", calibrate, ...limits } = int8!;
    const { norm, weights, wide } = folded;
    const { graph, ...report } = await quantizeNetwork(wide.graph, {
      target,
      samples: sampleInputs(model, calibrate),
      labelled: examples.labels !== null && weights.trained ? examples : null,
      ...limits,
      batch: batch.timed,
      onnx: (graph) => work.onnx(graph),
      signal,
    });
    const name = `${norm.family}.int8.onnx`;
    const { metadata, ...words } = aboutNetwork({ model, norm, network: wide, precision: "int8" });
    const { byteLength, nodes } = await work.copy(graph, name, {
      ...words,
      metadata: { ...metadata, [TARGET_KEY]: target },
    });
    return {
      int8: {
        graph,
        report: {
          target,
          calibration: calibrationName(limits.calibration),
          biasCorrection: limits.biasCorrection,
          ...report,
          onnx: { path: join(out, name), bytes: byteLength, nodes },
        },
      },
    };
  },
};
