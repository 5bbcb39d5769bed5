/**
 * The folded network against the reference, timed in turns on this machine: TensorRT where there is a GPU it can use,
 * else ONNX Runtime on the CPU, in fp32, since a CPU only imitates the narrower types.
 */
import { join } from "node:path";
import type { Model } from "../dsl/model.ts";
import { writeOnnx } from "../emit/onnx.ts";
import type { NormFamily } from "../norms/mod.ts";
import type { Report } from "../report/schema.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import type { PreparedCall, Session } from "../run/session.ts";
import { judge } from "../run/statistics.ts";
import { compareLatency } from "../run/timing.ts";
import { firstBatch, loadExamples } from "./evaluate.ts";
import type { Contender, Work } from "./mod.ts";

/** How long the comparison runs, warm-up and noise band aside. */
const COMPARISON_MS = 3000;

/** @returns null where there is nothing to compare with */
export async function timeNetworks(
  model: Model,
  contenders: readonly Contender[],
  { work, batch, precision, onEvent, signal }: Work & { step: (text: string) => void },
): Promise<Report["latency"]> {
  const [primary, reference] = contenders;
  if (primary === undefined || reference === undefined) return null;
  const dims = Object.fromEntries(Object.entries(model.dims ?? {}).map(([name, { opt }]) => [name, opt]));
  const examples = loadExamples(model, { count: batch.timed, dims });
  const scratch: string[] = [];
  await using sessions = new AsyncDisposableStack();
  const calls: Partial<Record<NormFamily, PreparedCall>> = {};
  let session: Session | undefined;
  try {
    for (const { norm, wide } of [primary, reference]) {
      let path = join(work, `${norm.family}.onnx`);
      if (precision !== "fp32") {
        path = join(work, `${norm.family}.timing.onnx`);
        scratch.push(...(await writeOnnx(wide.graph, path)).paths);
      }
      session = sessions.use(await sessionFromOnnx(path));
      calls[norm.family] = await session.prepare(firstBatch(session, examples, batch.timed));
    }
    const comparison = await compareLatency({
      contenders: calls as Record<string, PreparedCall>,
      baseline: reference.norm.family,
      minMs: COMPARISON_MS,
      ...(session!.threads !== undefined && { threads: session!.threads }),
      ...(signal && { signal }),
      onRound: ({ phase, elapsedMs }) =>
        onEvent?.({
          kind: "progress",
          text: phase === "noise" ? "timing the reference against itself" : "timing in turns",
          done: Math.min(elapsedMs, phase === "noise" ? COMPARISON_MS / 3 : COMPARISON_MS),
          total: phase === "noise" ? COMPARISON_MS / 3 : COMPARISON_MS,
        }),
    });
    const ratio = comparison.ratios[primary.norm.family]!;
    return {
      backend: session!.backend,
      precision: "fp32",
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
      warnings: [...comparison.warnings],
    };
  } finally {
    for (const path of scratch) await Deno.remove(path).catch(() => {});
  }
}
