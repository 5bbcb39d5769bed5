/** Int8 against fp32: the same network on the same examples, in turns on the CPU. */
import type { Graph } from "../../ir/graph.ts";
import type { Int8Report } from "../../report/report.ts";
import { asOnnx } from "../../rewrite/backends/onnx_forms.ts";
import { compareLoadings, type Open, timeLoadings } from "../../run/loadings.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import { firstBatch } from "../evaluate.ts";
import type { Stage } from "../line.ts";
import type { Described } from "./describe.ts";
import type { Opened } from "./open.ts";
import type { Quantized } from "./quantize.ts";

const COMPARISON_MS = 2000;
const LOADINGS = 9;
const MOST_MS = 20_000;

export interface Int8Timed {
  readonly int8Latency: Int8Report["latency"];
}

/** It goes on in the phase `time`. */
export const timeInt8: Stage<Described & Opened & Quantized, Int8Timed> = {
  name: "time int8",
  says: () => "timing int8",
  when: ({ order, int8 }) => order.time === true && int8 !== null,
  otherwise: { int8Latency: null },
  run: async ({ order: { batch }, networks: [{ wide }], examples, int8, work }, { signal }) => {
    let backend = "";
    const contender = (graph: Graph): Open => async (opened) => {
      const session = opened.use(await sessionFromOnnx(await work.onnx(graph)));
      backend = session.backend;
      return await session.prepare(firstBatch(session, examples, batch.timed));
    };
    const timed = await timeLoadings({
      contenders: { fp32: contender(asOnnx(wide.graph, "onnxruntime")), int8: contender(int8!.graph) },
      baseline: "fp32",
      minMs: COMPARISON_MS,
      firstLook: LOADINGS,
      deadlineMs: performance.now() + MOST_MS,
      signal,
    });
    const { ratio, rounds, top } = compareLoadings(timed, { top: "int8", bottom: "fp32" });
    return {
      int8Latency: {
        backend,
        batch: batch.timed,
        rounds,
        ratio: ratio.median,
        ratioLow: ratio.low,
        ratioHigh: ratio.high,
        medianMs: top.medianMs,
      },
    };
  },
};
