/**
 * Networks timed in turns on this machine: the folded one against the reference, and int8 against fp32. On a
 * CPU networks are in the form that is fastest there and in fp32, since a CPU only imitates the narrower
 * types.
 */
import type { Graph } from "../../ir/graph.ts";
import { asOnnx } from "../../rewrite/backends/onnx_forms.ts";
import { compareLoadings, type LoadingsOptions, type Open, timeLoadings } from "../../run/loadings.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import type { Session } from "../../run/session.ts";
import { judge } from "../../run/statistics.ts";
import { sessionFromPlan } from "../../run/tensorrt/engine.ts";
import { noiseWarning } from "../../run/timing.ts";
import { deviceFor } from "../device.ts";
import { firstBatch } from "../evaluate.ts";
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";

/** The least that the rounds of all loadings take; networks that load slowly are loaded less often. */
const EFFORT = { minMs: 4000, firstLook: 12, mostMs: 30_000 };
const INT8_EFFORT = { minMs: 2000, firstLook: 9, mostMs: 20_000 };

/** TensorRT where it can use a GPU, else ONNX Runtime; null where there is nothing to compare with. */
export const time: Stage<
  Has<"order" | "networks" | "examples" | "work" | "library" | "emitted">,
  Has<"latency">
> = {
  name: "time",
  says: () => "timing",
  when: ({ order }) => order.time === true,
  otherwise: { latency: null },
  run: async (made, { onEvent, signal }) => {
    const { order: { batch, precision }, networks: [folded, reference], emitted, library, work } = made;
    if (reference === undefined) return { latency: null };
    const plans = emitted.flatMap(({ engine }) => engine?.built.path ?? []);
    const device = await deviceFor(plans, { library: library && library.path, onEvent, signal });
    const loads = [folded, reference].map(({ wide }, i) => {
      if ("gpu" in device) return () => sessionFromPlan(plans[i]!, device.gpu);
      const graph = asOnnx(wide.graph, "onnxruntime");
      return async () => await sessionFromOnnx(await work.onnx(graph));
    });
    const [top, bottom] = [folded.norm.family, reference.norm.family];
    const { backend, warnings, ratio, noise, ...times } = await timePair(made, {
      top: [top, loads[0]!],
      bottom: [bottom, loads[1]!],
      ...EFFORT,
      signal,
      onProgress: (done) => onEvent?.({ kind: "progress", text: "timing in turns", done, total: 1 }),
    });
    return {
      latency: {
        backend,
        precision: "gpu" in device ? precision : "fp32",
        whyCpu: "gpu" in device ? null : device.whyCpu,
        batch: batch.timed,
        rounds: times.rounds,
        [top]: times.top,
        [bottom]: times.bottom,
        loadings: ratio.ratios,
        ratio: ratio.median,
        ratioLow: ratio.low,
        ratioHigh: ratio.high,
        ratioOfMinima: times.ratioOfMinima,
        noiseLow: noise.low,
        noiseHigh: noise.high,
        verdict: judge(ratio, { band: noise }),
        warnings,
      },
    };
  },
};

/** Int8 against fp32: the same network on the same examples, on the CPU. It goes on in the phase `time`. */
export const timeInt8: Stage<
  Has<"order" | "networks" | "examples" | "work" | "int8">,
  Has<"int8Latency">
> = {
  name: "time int8",
  says: () => "timing int8",
  when: ({ order, int8 }) => order.time === true && int8 !== null,
  otherwise: { int8Latency: null },
  run: async (made, { signal }) => {
    const { order: { batch }, networks: [{ wide }], int8, work } = made;
    const load = (graph: Graph) => async () => await sessionFromOnnx(await work.onnx(graph));
    const { backend, ratio, rounds, top } = await timePair(made, {
      top: ["int8", load(int8!.graph)],
      bottom: ["fp32", load(asOnnx(wide.graph, "onnxruntime"))],
      ...INT8_EFFORT,
      signal,
    });
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

type Loaded = readonly [name: string, load: () => Promise<Session>];

/** Loads two networks again and again, runs them in turns on the first examples, and compares. */
async function timePair(
  { order: { batch }, examples }: Has<"order" | "examples">,
  { top, bottom, mostMs, ...options }:
    & { readonly top: Loaded; readonly bottom: Loaded; readonly mostMs: number }
    & Pick<LoadingsOptions, "minMs" | "firstLook" | "signal" | "onProgress">,
) {
  const warnings = new Set<string>();
  let [backend, threads] = ["", undefined as number | undefined];
  const opening = ([name, load]: Loaded): Open => async (opened) => {
    const session = opened.use(await load());
    ({ backend, threads } = session);
    opened.defer(() => session.warnings?.().forEach((warning) => warnings.add(`"${name}", ${warning}`)));
    return await session.prepare(firstBatch(session, examples, batch.timed));
  };
  const timed = await timeLoadings({
    ...options,
    contenders: { [top[0]]: opening(top), [bottom[0]]: opening(bottom) },
    baseline: bottom[0],
    deadlineMs: performance.now() + mostMs,
    threads: () => threads,
  });
  const compared = compareLoadings(timed, { top: top[0], bottom: bottom[0] });
  return {
    ...compared,
    backend,
    warnings: [...timed.warnings, ...noiseWarning(bottom[0], compared.noise), ...warnings],
  };
}
