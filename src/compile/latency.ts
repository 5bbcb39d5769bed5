/**
 * The folded network against the reference, timed in turns on this machine: TensorRT where there is a GPU it can use,
 * else ONNX Runtime on the CPU, in the form that is fastest there and in fp32, since a CPU only imitates the narrower types.
 */
import { isRefusal } from "../errors.ts";
import type { LatencyReport } from "../report/report.ts";
import { asOnnx } from "../rewrite/backends/onnx_forms.ts";
import { compareLoadings, type Open, timeLoadings } from "../run/loadings.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import type { Session } from "../run/session.ts";
import { judge } from "../run/statistics.ts";
import { findGpu, type GpuOptions, sessionFromPlan } from "../run/tensorrt/engine.ts";
import { noiseWarning } from "../run/timing.ts";
import { firstBatch } from "./evaluate.ts";
import type { Contender, Stage } from "./mod.ts";

/** How long the rounds of all loadings take together, at least. */
const COMPARISON_MS = 4000;
const LOADINGS = 12;
/** Networks that take long to load are loaded less often, down to what an interval needs. */
const MOST_MS = 30_000;

/** How the networks are opened, and what that told. */
interface Opening {
  readonly open: (contender: Contender) => Promise<Session>;
  /** Why this is a CPU; null where it is a GPU. */
  readonly whyCpu: string | null;
}

/**
 * @param gpu the library that built the engines; null where none were built
 * @returns null where there is nothing to compare with
 */
export async function timeNetworks(stage: Stage, library: string | null): Promise<LatencyReport | null> {
  const { contenders, examples, options: { batch, precision, onEvent, signal } } = stage;
  const [primary, reference] = contenders;
  if (reference === undefined) return null;
  const { open, whyCpu } = await openingOf([primary, reference], { stage, library });
  signal?.throwIfAborted();
  const sessions: Record<string, Session> = {};
  const warnings = new Set<string>();
  const contender = (one: Contender): Open => async (opened) => {
    const { family } = one.norm;
    const session = opened.use(await open(one));
    sessions[family] = session;
    opened.defer(() => session.warnings?.().forEach((warning) => warnings.add(`"${family}", ${warning}`)));
    return await session.prepare(firstBatch(session, examples, batch.timed));
  };
  const [top, bottom] = [primary.norm.family, reference.norm.family];
  const timed = await timeLoadings({
    contenders: { [top]: contender(primary), [bottom]: contender(reference) },
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
    backend: sessions[bottom]!.backend,
    precision: whyCpu === null ? precision : "fp32",
    whyCpu,
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
  };
}

/** A GPU that cannot run these engines after all is a reason to time the CPU, not a failed build. */
async function openingOf(
  contenders: readonly Contender[],
  { stage: { work, options: { onEvent, signal } }, library }: { stage: Stage; library: string | null },
): Promise<Opening> {
  const onCpu = (whyCpu: string): Opening => {
    const forms = new Map(contenders.map((one) => [one, asOnnx(one.wide.graph, "onnxruntime")]));
    return { open: async (one) => await sessionFromOnnx(await work.onnx(forms.get(one)!)), whyCpu };
  };
  if (library === null) return onCpu("no engine was built");
  const gpu: GpuOptions = {
    library,
    onProgress: ({ text, fraction }) => onEvent?.({ kind: "progress", text, done: fraction, total: 1 }),
    ...(signal && { signal }),
  };
  const found = await findGpu(gpu);
  if ("unavailable" in found) return onCpu(found.unavailable);
  const open = ({ norm }: Contender) => sessionFromPlan(work.path(`${norm.family}.plan`), gpu);
  try {
    for (const contender of contenders) {
      await using _works = await open(contender);
    }
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return onCpu(
      `${found.backend} cannot run the engines: ${error.message.replaceAll(/\s*\n\s*/g, " ")}`,
    );
  }
  return { open, whyCpu: null };
}
