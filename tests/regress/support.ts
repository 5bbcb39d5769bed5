/** Baselines and runs made by hand, and a network that is compiled in no time. */
import { join } from "node:path";
import { parseBatch } from "../../src/compile/batch.ts";
import { float, linear, type Model, model, norm } from "../../src/dsl/mod.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import type { Subject } from "../../src/compile/order.ts";
import type { Baseline, Structure } from "../../src/regress/manifest.ts";
import type { BaselineStore } from "../../src/regress/store.ts";
import type {
  Fingerprint,
  MetricReport,
  ModelRun,
  RunReport,
  StructureChange,
} from "../../src/report/run_report.ts";
import { relu, tanh } from "../nodes.ts";

export const FINGERPRINT: Fingerprint = {
  os: "linux x86_64",
  cpu: "a processor",
  cores: 2,
  clockMHz: null,
  backend: "onnxruntime 1.30.0, CPU, 1 thread",
  threads: 1,
  onGpu: false,
  tensorrt: "rtx 1.7.1",
  unfold: "0.1.0",
  deno: "2.9.6",
};

export const STRUCTURE: Structure = {
  nodes: 2,
  parameters: 20,
  parameterBytes: 80,
  peakBytes: 200,
  normalizations: 0,
  planBytes: 1000,
  kernels: 2,
  normalizationKernels: 0,
  quantizedProducts: 0,
  keptOperators: 0,
  graph: [
    { name: "fc1", op: "linear", shape: "fp32[8, 4]" },
    { name: "fc2", op: "linear", shape: "fp32[8, 4]" },
  ],
  kernelList: [
    { kind: "fully_connected", name: "k1", layers: ["fc1"] },
    { kind: "fully_connected", name: "k2", layers: ["fc2"] },
  ],
  quantized: [],
  kept: [],
};

export const NO_CHANGE: StructureChange = {
  nodesAdded: [],
  nodesRemoved: [],
  kernelsAdded: [],
  kernelsRemoved: [],
  quantizedAdded: [],
  quantizedRemoved: [],
  keptAdded: [],
  keptRemoved: [],
};

/** All but the files, which `save` adds. */
export function contentOf(
  name: string,
  { id = crypto.randomUUID().slice(0, 8), fingerprint = FINGERPRINT } = {},
): Omit<Baseline, "files"> {
  return {
    schema: 1,
    name,
    id,
    savedAt: "2026-01-02T03:04:05.000Z",
    commit: "0123456789abcdef",
    dirty: false,
    fingerprint,
    models: [{
      model: "tiny",
      family: "un",
      precision: "fp32",
      batch: "2",
      recipe: null,
      inputs: ["x fp32[2, 4]"],
      structure: STRUCTURE,
      buildsMs: [10, 11, 12],
      accuracy: null,
      examples: 2,
      agreement: null,
      quantizationError: null,
      latency: { concurrency: 1, samplesMs: [1, 2, 3] },
      onnx: "tiny.onnx",
      plan: "tiny.plan",
    }],
  };
}

/** Saves a baseline of two files that hold nothing of meaning. */
export async function saveSample(store: BaselineStore, name: string, byteLength = 1000): Promise<Baseline> {
  await using work = await store.workFolder();
  const files = new Map<string, string>();
  for (const [file, fill] of [["tiny.onnx", 1], ["tiny.plan", 2]] as const) {
    const path = join(work.path, file);
    await Deno.writeFile(path, new Uint8Array(byteLength).fill(fill));
    files.set(file, path);
  }
  return await store.save(contentOf(name), files);
}

export interface Changes {
  readonly layers?: number;
  /** One more node on the logits: next to no work. */
  readonly extra?: boolean;
  readonly channels?: number;
}

/** Linear layers and an activation each; `changes` make another network of it, under the same name. */
export function tinySubject({ layers = 2, extra = false, channels = 4 }: Changes = {}): Subject {
  const tiny: Model = model({
    name: "tiny",
    inputs: { x: float(["B", channels]) },
    norm: unifiedNorm(),
    forward({ x }, p) {
      let y = norm(x, p.at("norm"));
      for (let i = 0; i < layers; i++) y = tanh(linear(y, p.at("layers", i), { outputs: 4 }));
      const logits = linear(y, p.at("head"), { outputs: 3 });
      return extra ? relu(logits) : logits;
    },
  });
  return {
    model: tiny,
    norm: tiny.norm,
    precision: "fp32",
    layerNorm: "layer",
    batch: parseBatch("2"),
    weights: {},
  };
}

/** A run whose p50 is `ratio` times the stored engine's and that has `nodes` nodes. */
export function runOf(
  { time, commit, ratio, nodes, baseline = "a" }: {
    time: string;
    commit: string;
    ratio: number;
    nodes: number;
    baseline?: string;
  },
): RunReport {
  const common: Omit<MetricReport, "metric" | "stored" | "current" | "ratio"> = {
    verdict: "same",
    unit: "",
    noise: null,
    rounds: null,
    roundsNeeded: null,
    decides: true,
    reason: null,
  };
  const run: ModelRun = {
    model: "tiny",
    family: "un",
    precision: "fp32",
    batch: "2",
    metrics: [
      {
        ...common,
        metric: "latency p50",
        unit: "ms",
        stored: 1,
        current: ratio,
        ratio: { median: ratio, low: ratio, high: ratio },
      },
      { ...common, metric: "nodes", stored: 2, current: nodes, ratio: null },
    ],
    structure: NO_CHANGE,
    latency: null,
    throughput: null,
    buildsMs: [],
  };
  return {
    schema: 1,
    id: commit.slice(0, 8),
    startedAt: time,
    durationMs: 1000,
    baseline: { name: "main", id: baseline, savedAt: time, commit: null, fingerprint: FINGERPRINT },
    commit,
    dirty: false,
    fingerprint: FINGERPRINT,
    options: { threshold: 0.03, rebuilds: 3, maxTimeMs: 1000, concurrency: 2 },
    models: [run],
    verdict: "nothing worse",
    notes: [],
  };
}
