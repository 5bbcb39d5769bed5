/** Runs the networks in fp16 or bf16 as an engine would round them, before they are built. fp32 skips it. */
import { isNarrow, type Narrow } from "../../ir/dtype.ts";
import type { Graph } from "../../ir/graph.ts";
import type { NormFamily } from "../../norms/families.ts";
import type { NetworkRanges, RangesReport } from "../../report/report.ts";
import type { ExampleOutputs } from "../evaluate.ts";
import { originOf } from "../examples.ts";
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";
import { ASSUMED, overflowOf, runRounded, summaryOf } from "../ranges.ts";

/** Refuses a network in which a tensor overflows, unless allowed; an untrained reference is only reported. */
export const round: Stage<Has<"order" | "networks" | "examples" | "work">, Has<"rounded">> = {
  name: "round",
  says: ({ order }) => `looking for overflows in ${order.precision}`,
  when: ({ order: { precision, skip = [] } }) => isNarrow(precision) && !skip.includes("check"),
  otherwise: { rounded: null },
  run: async ({ order, networks: compiled, examples, work }, { signal }) => {
    const { model, batch, allowOverflow = false } = order;
    const precision = order.precision as Narrow;
    const outputs = new Map<Graph, ExampleOutputs>();
    const networks: Partial<Record<NormFamily, NetworkRanges>> = {};
    const ranges: RangesReport = {
      precision,
      samples: { origin: originOf(model), count: examples.count },
      assumed: ASSUMED,
      networks,
    };
    for (const [i, { norm: { family }, network: { graph }, weights: { trained } }] of compiled.entries()) {
      const run = await runRounded(graph, {
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
    return { rounded: { ranges, outputs } };
  },
};
