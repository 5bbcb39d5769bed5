/** A benchmark as `bench.json` holds it, written out here; `name` goes where a text could. */
import type { BenchReport } from "../../src/bench/schema.ts";

export function sampleBench(name = "tiny"): BenchReport {
  const contender = (
    variant: "un" | "lnBest",
    scale: number,
  ): BenchReport["cases"][number]["contenders"][number] => ({
    id: `${variant}/onnxruntime/fp32`,
    variant,
    engine: "onnxruntime",
    precision: "fp32",
    backend: name,
    gflop: 2,
    medianMs: 4 * scale,
    minMs: 3.9 * scale,
    p90Ms: 4.1 * scale,
    coefficientOfVariation: 0.02,
    utilization: 0.75,
    parity: { maxRelError: 1e-6, against: name, agrees: true, bound: 1e-4 },
    samplesMs: Array.from({ length: 20 }, (_, i) => scale * (3.9 + 0.01 * i)),
  });
  return {
    schema: 1,
    command: `deno task bench --models ${name}`,
    startedAt: "2026-01-02T03:04:05.000Z",
    machine: { os: name, cpu: name, cores: 2, threads: 2, loadAverage: 0.1 },
    versions: { unfold: "0.1.0", onnxruntime: "1.30.0" },
    cases: [{
      model: name,
      title: name,
      batch: 1,
      rounds: 20,
      contenders: [contender("un", 1), contender("lnBest", 1.1)],
      ratios: [{
        name: "UN folded / LN at its best",
        numerator: "un/onnxruntime/fp32",
        denominator: "lnBest/onnxruntime/fp32",
        median: 0.91,
        low: 0.9,
        high: 0.92,
        ofMinima: 0.91,
        verdict: "faster",
      }],
      noise: { low: 0.99, high: 1.01, contender: "lnBest/onnxruntime/fp32" },
      peak: { product: "2 x 3 x 4", gflopPerS: 100, best: 110, samplesMs: [1] },
      skipped: [{ id: "un/onnxruntime/fp16", why: name }],
      warnings: [name],
    }],
    structure: [{
      model: name,
      batch: 1,
      precision: "fp16",
      variant: "un",
      kernels: 35,
      normalizationKernels: null,
      planBytes: 39_400_000,
      normalizationBytes: 0,
    }],
    notes: [name],
  };
}
