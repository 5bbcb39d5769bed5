/**
 * The folded network against the reference, timed in turns on this machine: TensorRT where there is a GPU it can use,
 * else ONNX Runtime on the CPU, in the form that is fastest there and in fp32, since a CPU only imitates the narrower types.
 */
import { isRefusal } from "../errors.ts";
import type { LatencyReport } from "../report/schema.ts";
import { asOnnx } from "../rewrite/onnx_forms.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import type { PreparedCall, Session } from "../run/session.ts";
import { judge } from "../run/statistics.ts";
import { findGpu, type GpuOptions, sessionFromPlan } from "../run/tensorrt.ts";
import { compareLatency } from "../run/timing.ts";
import { type Examples, firstBatch } from "./evaluate.ts";
import type { Contender, Stage } from "./mod.ts";

/** How long the comparison runs, warm-up and noise band aside. */
const COMPARISON_MS = 3000;
/** The same for the reference timed against itself. */
const NOISE_MS = COMPARISON_MS / 3;

const PHASES = {
  noise: { text: "timing the reference against itself", total: NOISE_MS },
  comparison: { text: "timing in turns", total: COMPARISON_MS },
} as const;

/** Sessions by normalization family, ready to be timed. */
interface Prepared extends AsyncDisposable {
  readonly calls: Readonly<Record<string, PreparedCall>>;
  readonly sessions: Readonly<Record<string, Session>>;
}

/**
 * @param gpu the library that built the engines; null where none were built
 * @returns null where there is nothing to compare with
 */
export async function timeNetworks(
  { contenders, examples, options: { batch, precision, onEvent, signal }, work }: Stage,
  gpu: GpuOptions | null,
): Promise<LatencyReport | null> {
  const [primary, reference] = contenders;
  if (reference === undefined) return null;
  const prepare = (open: (contender: Contender) => Promise<Session>) =>
    prepareBoth([primary, reference], { open, examples, batch: batch.timed });
  const onGpu = gpu === null ? { unavailable: "no engine was built" } : await prepareOnGpu(
    gpu,
    (options) => prepare(({ norm }) => sessionFromPlan(work.path(`${norm.family}.plan`), options)),
  );
  signal?.throwIfAborted();
  const whyCpu = "unavailable" in onGpu ? onGpu.unavailable : null;
  await using prepared = "unavailable" in onGpu
    ? await prepare(async ({ wide }) =>
      await sessionFromOnnx(await work.onnx(asOnnx(wide.graph, "onnxruntime")))
    )
    : onGpu;
  const { backend, threads } = prepared.sessions[reference.norm.family]!;
  const comparison = await compareLatency({
    contenders: prepared.calls,
    baseline: reference.norm.family,
    minMs: COMPARISON_MS,
    ...(threads !== undefined && { threads }),
    ...(signal && { signal }),
    noiseMs: NOISE_MS,
    onRound: ({ phase, elapsedMs }) => {
      const { text, total } = PHASES[phase];
      onEvent?.({ kind: "progress", text, done: Math.min(elapsedMs, total), total });
    },
  });
  const ratio = comparison.ratios[primary.norm.family]!;
  return {
    backend,
    precision: whyCpu === null ? precision : "fp32",
    whyCpu,
    batch: batch.timed,
    rounds: comparison.rounds,
    ...Object.fromEntries(
      Object.entries(comparison.contenders).map(([family, timing]) => [family, {
        medianMs: timing.medianMs,
        p95Ms: timing.p95Ms,
        minMs: timing.minMs,
        coefficientOfVariation: timing.coefficientOfVariation,
        samplesMs: [...timing.samplesMs],
      }]),
    ),
    ratio: ratio.median,
    ratioLow: ratio.low,
    ratioHigh: ratio.high,
    ratioOfMinima: ratio.ofMinima,
    noiseLow: comparison.noise.band.low,
    noiseHigh: comparison.noise.band.high,
    verdict: judge(ratio, { band: comparison.noise.band }),
    warnings: [
      ...comparison.warnings,
      ...Object.entries(prepared.sessions).flatMap(([family, session]) =>
        (session.warnings?.() ?? []).map((warning) => `"${family}", ${warning}`)
      ),
    ],
  };
}

async function prepareBoth(
  contenders: readonly Contender[],
  { open, examples, batch }: {
    open: (contender: Contender) => Promise<Session>;
    examples: Examples;
    batch: number;
  },
): Promise<Prepared> {
  await using opened = new AsyncDisposableStack();
  const calls: Record<string, PreparedCall> = {};
  const sessions: Record<string, Session> = {};
  for (const contender of contenders) {
    const session = opened.use(await open(contender));
    const { family } = contender.norm;
    sessions[family] = session;
    calls[family] = await session.prepare(firstBatch(session, examples, batch));
  }
  const kept = opened.move();
  return { calls, sessions, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** A GPU that cannot run these engines after all is a reason to time the CPU, not a failed build. */
async function prepareOnGpu(
  gpu: GpuOptions,
  prepare: (options: GpuOptions) => Promise<Prepared>,
): Promise<Prepared | { readonly unavailable: string }> {
  const found = await findGpu(gpu);
  if ("unavailable" in found) return found;
  try {
    return await prepare(gpu);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return {
      unavailable: `${found.backend} cannot run the engines: ${error.message.replaceAll(/\s*\n\s*/g, " ")}`,
    };
  }
}
