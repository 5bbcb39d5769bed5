/** The page a person reads, against a report written out here. */
import assert from "node:assert/strict";
import { bytes } from "../../src/report/phrases.ts";
import type { Report } from "../../src/report/report.ts";
import { summarize } from "../../src/report/summary.ts";

const timing = { medianMs: 0.9, p95Ms: 1.1, minMs: 0.8, coefficientOfVariation: 0.01, samplesMs: [0.9] };
const engine = {
  path: "build/tiny/un.plan",
  bytes: 1_432_636,
  layers: 90,
  kernels: 25,
  unknown: null,
  normalizationKernels: 0,
  buildMs: 345.2,
  onnx: { path: "build/tiny/un.onnx", bytes: 1, nodes: 1 },
  weights: "un.safetensors",
  trained: true,
};
const report: Report = {
  checkpoint: null,
  schema: 1,
  model: "tiny",
  precision: "fp16",
  batch: "8",
  norms: {
    found: 2,
    folded: 1,
    remaining: 1,
    where: [
      { norm: "norm1", family: "un", folded: true, into: ["qkv"], through: ["slice"] },
      {
        norm: "n2",
        family: "un",
        folded: false,
        into: [],
        through: [],
        refused: { consumer: "block/add", reason: "add does not commute" },
      },
    ],
  },
  passes: [],
  engines: {
    un: engine,
    ln: { ...engine, kernels: null, normalizationKernels: null, unknown: "an odd statement" },
  },
  phases: [
    { phase: "describe", network: null, ms: 21, peakBytes: 1e8 },
    { phase: "build", network: "un", ms: 345.2, peakBytes: 1.5e9 },
    { phase: "build", network: "ln", ms: 12_345, peakBytes: 1.6e9 },
  ],
  parity: {
    maxAbsError: 1.1e-5,
    maxRelError: 4e-7,
    against: "PyTorch's own outputs",
    agrees: true,
    precision: "fp32",
    emitted: { maxAbsError: 0.015, maxRelError: 5.3e-4, against: "", agrees: true, precision: "fp16" },
    problem: null,
    reference: null,
  },
  accuracy: { unFolded: 0.99166, unUnfolded: 0.99166, ln: 0.98888 },
  latency: {
    backend: "onnxruntime, CPU",
    precision: "fp32",
    whyCpu: "there is no NVIDIA driver",
    batch: 8,
    rounds: 100,
    un: timing,
    ln: { ...timing, medianMs: 1 },
    ratio: 0.9,
    ratioLow: 0.89,
    ratioHigh: 0.91,
    ratioOfMinima: 0.9,
    noiseLow: 0.99,
    noiseHigh: 1.01,
    verdict: "faster",
    warnings: ["a load of 1.0 on 2 cores"],
  },
  environment: {
    unfold: "0.1.0",
    deno: "2.9.6",
    os: "linux x86_64",
    cpu: "?",
    cores: 2,
    tensorrt: { version: "1.7.1", flavour: "rtx", source: "cache" },
  },
};

const page = (report: Report) => summarize(report, { out: "build/tiny", style: (text) => text });

Deno.test("summarize() says what was folded where, and what was not and why", () => {
  const text = page(report);
  assert.match(text, /2 found, 1 folded, 1 remaining/);
  assert.match(text, / {2}norm1 {2}into qkv through slice\n {2}n2 {5}kept: block\/add: add does not commute/);
});

Deno.test("summarize() says a reason that three share once, under them", () => {
  const refused = { reason: "its statistics depend on the input" };
  const where = ["a", "b", "c"].map((norm) => ({
    ...report.norms.where[1]!,
    norm,
    into: norm === "c" ? [] : [`${norm}.fc`],
    refused: { consumer: norm, ...refused },
  }));
  assert.match(
    page({ ...report, norms: { found: 3, folded: 0, remaining: 3, where } }),
    / {2}a {2}kept; gain and shift into a\.fc\n {2}b {2}kept; gain and shift into b\.fc\n {2}c {2}kept\n {2}3 kept: its statistics depend on the input\n/,
  );
});

Deno.test("summarize() gives figures, unknown where a plan cannot be read, and why the CPU was timed", () => {
  const text = page(report);
  assert.match(text, /kernels +25 {7}unknown\n/);
  assert.match(text, /UN folded 99\.17 %, UN unfolded 99\.17 %, LN 98\.89 %/);
  assert.match(text, /time against the reference -10\.0 %, 95 % interval -11\.0 % to -9\.0 %.*: faster/);
  assert.match(text, /On the CPU, since there is no NVIDIA driver\./);
  assert.match(text, /warning: a load of 1\.0/);
  assert.match(text, /Files in build\/tiny\/: un\.plan un\.onnx ln\.plan ln\.onnx report\.json\n/);
  assert.match(text, /note: the kernels of ln\.plan are unknown: an odd statement$/);
});

Deno.test("summarize() says so where the emitted precision was not run, of weights nobody trained and a library nobody tested", () => {
  const { parity, environment } = report;
  const text = page({
    ...report,
    precision: "bf16",
    parity: { ...parity!, emitted: null },
    environment: { ...environment, tensorrt: { version: "10.16.0", flavour: "enterprise", source: "flag" } },
    engines: { un: { ...engine, weights: "random values, seed 0", trained: false } },
    latency: null,
  });
  assert.match(text, /as emitted in bf16: not run/);
  assert.match(text, /note: UN was not trained \(random values, seed 0\)/);
  assert.match(text, /note: UNfold's tests have not run Enterprise TensorRT \(10\.16\.0\)/);
  assert.ok(!text.includes("Latency"));
});

Deno.test("summarize() names tensors near the end of fp16, the largest first, and what was not executed", () => {
  const range = { op: "linear", usual: 1, error: 2e-4, helps: "bf16", factor: null } as const;
  const text = page({
    ...report,
    ranges: {
      precision: "fp16",
      samples: { origin: "the model's own examples", count: 360 },
      assumed: "scores in fp32",
      networks: {
        un: {
          tensors: 30,
          largest: 2e5,
          overflows: 1,
          near: 1,
          troubled: [
            { ...range, tensor: "fc1", largest: 9000, verdict: "near" },
            { ...range, tensor: "fc2", largest: 2e5, verdict: "overflows" },
            { ...range, tensor: "fc3", largest: 1e-6, error: 0.1, verdict: "small" },
          ],
        },
        ln: { tensors: 33, largest: 12, overflows: 0, near: 0, troubled: [] },
      },
    },
    notExecuted: ["a ".repeat(60).trim(), "b"],
  });
  assert.match(
    text,
    /\nRange in fp16 {4}UN 1 of 30 tensors overflow \(360 examples: the model's own examples\)\n/,
  );
  assert.match(text, /\n {19}fc2 reaches 2\.00e\+5, which overflows\n {19}fc1 reaches 9\.00e\+3\n/);
  assert.match(text, /\n {19}fc3 reaches 0\.00000100 and loses 10 % to rounding\n/);
  assert.match(text, /\n {17}LN fits, at most 12\.0 \(360 examples/);
  assert.match(text, /\nNot executed {5}(a )+a\n {17}(a )+a\n {17}b\n/);
});

Deno.test("summarize() names the GPUs that engines are for, and not where none are known", () => {
  const line = /\n {2}for compute capability 8\.9, 12\.0\n {2}plan/;
  assert.match(page({ ...report, targets: ["8.9", "12.0"] }), line);
  for (const targets of [undefined, null, []]) {
    assert.ok(!page({ ...report, targets }).includes("compute capability"));
  }
});

Deno.test("summarize() gives time and peak memory of each phase", () => {
  const text = page(report);
  assert.match(text, /\n {2}build +345 ms, 1\.50 GB +12\.3 s, 1\.60 GB\n/);
  assert.match(text, /\n {2}describe, fold +21 ms, 100\.0 MB\n/);
});

Deno.test("summarize() has no engines where none were built, and no agreement where nothing was compared", () => {
  const none = {
    path: null,
    bytes: null,
    layers: null,
    kernels: null,
    normalizationKernels: null,
    buildMs: null,
  };
  const text = page({
    ...report,
    engines: { un: { ...engine, ...none } },
    parity: null,
    latency: null,
    environment: { ...report.environment, tensorrt: null },
  });
  assert.match(text, /Agreement +not looked at\n/);
  assert.match(text, /ONNX alone +UN\n {2}ONNX +1 B\n/);
  assert.match(text, /Files in build\/tiny\/: un\.onnx report\.json$/);
});

Deno.test("bytes() uses decimal units", () => {
  assert.deepEqual([999, 1500, 1_432_636, 76_419_468].map(bytes), ["999 B", "1.50 kB", "1.43 MB", "76.4 MB"]);
});

Deno.test("summarize() says which state dict was taken and what came off all names, of --checkpoint and of --weights", () => {
  const stateDict = { key: "model_ema", others: ["model"] };
  const line = '  state dict: "model_ema"; also there: "model" (--state says which)';
  const ofWeights = page({ ...report, engines: { ...report.engines, un: { ...engine, stateDict } } });
  assert.ok(ofWeights.includes(line), ofWeights);
  const checkpoint = { path: "un.pth", format: "timm ViT", stateDict, prefix: "module.", ignored: [] };
  const ofCheckpoint = page({ ...report, checkpoint });
  const quantized = ["a", "b", "c", "d"].map((name) => ({ name, why: "I8 times its scale, in fp32" }));
  assert.ok(
    page({ ...report, checkpoint: { ...checkpoint, quantized } })
      .includes("  in eight bits: a, b, c and 1 more: I8 times its scale, in fp32\n"),
  );
  assert.ok(ofCheckpoint.includes(line), ofCheckpoint);
  assert.ok(ofCheckpoint.includes('  names: without the prefix "module.", which all have'), ofCheckpoint);
  assert.ok(
    !page({ ...report, checkpoint: { ...checkpoint, stateDict: null, prefix: "" } }).includes("state dict"),
  );
});
