/** A build as it would be read from its folder, quiet and seeded, for the tests of pages. */
import { inspectPlan } from "../../../src/report/plan.ts";
import type { Build } from "../../../src/report/html/mod.ts";
import type { Report, TimingReport } from "../../../src/report/report.ts";
import {
  bootstrapMedian,
  coefficientOfVariation,
  median,
  pairedRatios,
  percentile,
} from "../../../src/run/statistics.ts";
import { Random } from "../../support.ts";
import { kernel, planBytes, schedule } from "../plan_bytes.ts";

const NORM = "__myl_MeanSubMulMeanAddSqrtDivMulMulAdd";

/**
 * A plan of `blocks` blocks with three kernels each, and a normalization in front of each where asked for.
 */
export function samplePlan({ blocks, norms }: { blocks: number; norms: boolean }): Uint8Array<ArrayBuffer> {
  const own = (i: number, name: string, layer: string) =>
    kernel(name, `"x${i}"`, `"blocks.${i}.${layer}/sum.1"`);
  return planBytes([schedule([
    ...Array.from({ length: blocks }, (_, i) => [
      ...(norms ? [own(i, NORM, "norm1")] : []),
      own(i, "__myl_Add", "attn.qkv"),
      own(i, "_gemm_mha_v2", "attn"),
      own(i, "__myl_Mul", "mlp.fc1"),
    ]).flat(),
    kernel("__myl_Resh", '"a"', '"output.1"'),
  ])]);
}

function timing(samplesMs: readonly number[]): TimingReport {
  return {
    medianMs: median(samplesMs),
    p95Ms: percentile(samplesMs, 95),
    minMs: percentile(samplesMs, 0),
    coefficientOfVariation: coefficientOfVariation(samplesMs),
    samplesMs,
  };
}

/** `name` goes everywhere a file could put a text. */
export function sampleBuild(
  { rounds = 200, blocks = 4, name = "tiny", seed = 1 }: {
    rounds?: number;
    blocks?: number;
    name?: string;
    seed?: number;
  } = {},
): Build {
  const random = new Random(seed);
  const ln = Array.from(
    { length: rounds },
    () => 2 + 0.03 * random.normal() + (random.uniform() < 0.02 ? 1 : 0),
  );
  const un = ln.map((ms) => ms * (0.92 + 0.01 * random.normal()));
  const ratios = pairedRatios(un, ln);
  const { low, high } = bootstrapMedian(ratios, { resamples: 500 });
  const plans = {
    un: inspectPlan(samplePlan({ blocks, norms: false })),
    ln: inspectPlan(samplePlan({ blocks, norms: true })),
  };
  const engine = (family: "un" | "ln"): Report["engines"]["un"] => ({
    path: `build/${name}/${family}.plan`,
    bytes: plans[family].byteLength,
    layers: 90,
    kernels: plans[family].kernels,
    unknown: null,
    normalizationKernels: plans[family].normalizationKernels,
    buildMs: 345.2,
    onnx: { path: `build/${name}/${family}.onnx`, bytes: 1000, nodes: 60 },
    weights: `${name}.safetensors`,
    trained: true,
    kept: [
      { precision: "fp32", scopes: "softmax", nodes: [name, name], folded: [] },
      { precision: "fp32", scopes: name, nodes: [], folded: [{ norm: name, into: [name] }] },
    ],
  });
  const quantized = {
    products: 18,
    quantized: 16,
    inFloat: [{ name, error: 0.1 }, { name: "blocks.0.mlp.fc1", error: 0.05 }],
    gate: {
      passed: true,
      outputError: 0.0372,
      limit: 0.5,
      accuracy: { fp32: 0.9917, quantized: 0.9889, examples: 360 },
    },
    passes: [],
  };
  const report: Report = {
    schema: 1,
    model: name,
    provenance: {
      startedAt: "2026-01-02T03:04:05.678Z",
      command: `deno task build-engine ${name}.ts --precision fp16`,
      commit: "0123456789abcdef".padEnd(40, "0"),
      dirty: true,
    },
    targets: ["8.9", "12.0"],
    checkpoint: null,
    phases: [],
    precision: "fp16",
    batch: "8",
    norms: {
      found: blocks + 1,
      folded: blocks,
      remaining: 1,
      where: [
        ...Array.from({ length: blocks }, (_, i) => ({
          norm: `blocks.${i}.norm1`,
          family: "un",
          folded: true,
          into: [`blocks.${i}.attn.qkv`],
          through: [],
        })),
        {
          norm: name,
          family: "un",
          folded: false,
          into: [],
          through: [],
          refused: { consumer: name, reason: name },
        },
      ],
    },
    passes: [{ pass: "fold normalizations", nodesBefore: 120, nodesAfter: 111, detail: name }],
    engines: { un: engine("un")!, ln: engine("ln")! },
    ranges: {
      precision: "fp16",
      samples: { origin: name, count: 8 },
      assumed: name,
      networks: {
        un: {
          tensors: 20,
          largest: 2e5,
          overflows: 1,
          near: 1,
          troubled: [
            {
              tensor: name,
              op: "linear",
              largest: 2e5,
              usual: 300,
              error: 2e-4,
              verdict: "overflows",
              helps: "bf16",
              factor: null,
            },
            {
              tensor: "blocks.0.mlp.fc2/add",
              op: "add",
              largest: 1e4,
              usual: 30,
              error: 2e-4,
              verdict: "near",
              helps: "rescale",
              factor: 2,
            },
          ],
        },
        ln: { tensors: 24, largest: 9.5, overflows: 0, near: 0, troubled: [] },
      },
    },
    quantization: {
      to: "fp8",
      placement: `*.fc1,${name}`,
      samples: 360,
      calibration: "mse",
      biasCorrection: true,
      networks: {
        un: { ...quantized, smoothQuant: { alpha: 0.5, tensors: 1 } },
        ln: { ...quantized, inFloat: [], gate: null },
      },
    },
    notExecuted: [name],
    parity: {
      maxAbsError: 1.1e-5,
      maxRelError: 4e-7,
      against: name,
      agrees: true,
      precision: "fp32",
      emitted: { maxAbsError: 0.015, maxRelError: 5.3e-4, against: name, agrees: true, precision: "fp16" },
      problem: name,
      reference: null,
    },
    accuracy: { unFolded: 0.99166, unUnfolded: 0.99166, ln: 0.98888 },
    latency: {
      backend: name,
      precision: "fp32",
      whyCpu: name,
      batch: 8,
      rounds,
      un: timing(un),
      ln: timing(ln),
      ratio: median(ratios),
      ratioLow: low,
      ratioHigh: high,
      ratioOfMinima: 0.92,
      noiseLow: 0.995,
      noiseHigh: 1.005,
      verdict: "faster",
      warnings: [name],
    },
    environment: {
      unfold: "0.1.0",
      deno: "2.9.6",
      os: name,
      cpu: name,
      cores: 2,
      tensorrt: { version: "1.7.1", flavour: "rtx", source: "cache" },
    },
  };
  return { path: `build/${name}/report.json`, report, plans };
}
