/**
 * The folded network against the reference, timed in turns on this machine: TensorRT where there is a GPU it can use,
 * else ONNX Runtime on the CPU, in the form that is fastest there and in fp32, since a CPU only imitates the narrower types.
 */
import type { LatencyReport } from "../../report/report.ts";
import { asOnnx } from "../../rewrite/backends/onnx_forms.ts";
import { compareLoadings, type Open, timeLoadings } from "../../run/loadings.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import type { Session } from "../../run/session.ts";
import { judge } from "../../run/statistics.ts";
import { sessionFromPlan } from "../../run/tensorrt/engine.ts";
import { noiseWarning } from "../../run/timing.ts";
import { deviceFor } from "../device.ts";
import { firstBatch } from "../evaluate.ts";
import type { Stage } from "../line.ts";
import type { Compiled, Described } from "./describe.ts";
import type { Built } from "./engine.ts";
import type { Located } from "./locate.ts";
import type { Opened } from "./open.ts";

/** How long the rounds of all loadings take together, at least. */
const COMPARISON_MS = 4000;
const LOADINGS = 12;
/** Networks that take long to load are loaded less often, down to what an interval needs. */
const MOST_MS = 30_000;

export interface LatencyTimed {
  /** Null where nothing was timed, or there is nothing to compare with. */
  readonly latency: LatencyReport | null;
}

/** The networks of a build, and the plans that were built of them. */
type Networks = Described & Opened & Located & { readonly emitted: readonly Built[] };

export const time: Stage<Networks, LatencyTimed> = {
  name: "time",
  says: () => "timing",
  when: ({ order }) => order.time === true,
  otherwise: { latency: null },
  run: async (made, { onEvent, signal }) => {
    const { order: { batch, precision }, networks, examples, emitted, library, work } = made;
    const [folded, reference] = networks;
    if (reference === undefined) return { latency: null };
    const plans = emitted.flatMap(({ engine }) => engine?.built.path ?? []);
    const device = await deviceFor(plans, { library: library && library.path, onEvent, signal });
    const opener = ({ wide }: Compiled, i: number): () => Promise<Session> => {
      if ("gpu" in device) return () => sessionFromPlan(plans[i]!, device.gpu);
      const graph = asOnnx(wide.graph, "onnxruntime");
      return async () => await sessionFromOnnx(await work.onnx(graph));
    };
    const sessions: Record<string, Session> = {};
    const warnings = new Set<string>();
    const contenders = Object.fromEntries(networks.map((network, i) => {
      const { family } = network.norm;
      const load = opener(network, i);
      const open: Open = async (opened) => {
        const session = opened.use(await load());
        sessions[family] = session;
        opened.defer(() =>
          session.warnings?.().forEach((warning) => warnings.add(`"${family}", ${warning}`))
        );
        return await session.prepare(firstBatch(session, examples, batch.timed));
      };
      return [family, open];
    }));
    const [top, bottom] = [folded.norm.family, reference.norm.family];
    const timed = await timeLoadings({
      contenders,
      baseline: bottom,
      minMs: COMPARISON_MS,
      firstLook: LOADINGS,
      deadlineMs: performance.now() + MOST_MS,
      threads: () => sessions[bottom]?.threads,
      signal,
      onProgress: (done) => onEvent?.({ kind: "progress", text: "timing in turns", done, total: 1 }),
    });
    const { ratio, noise, rounds, ratioOfMinima, ...times } = compareLoadings(timed, { top, bottom });
    return {
      latency: {
        backend: sessions[bottom]!.backend,
        precision: "gpu" in device ? precision : "fp32",
        whyCpu: "gpu" in device ? null : device.whyCpu,
        batch: batch.timed,
        rounds,
        [top]: times.top,
        [bottom]: times.bottom,
        loadings: ratio.ratios,
        ratio: ratio.median,
        ratioLow: ratio.low,
        ratioHigh: ratio.high,
        ratioOfMinima,
        noiseLow: noise.low,
        noiseHigh: noise.high,
        verdict: judge(ratio, { band: noise }),
        warnings: [...timed.warnings, ...noiseWarning(bottom, noise), ...warnings],
      },
    };
  },
};
