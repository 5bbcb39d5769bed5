import assert from "node:assert/strict";
import { benchPage } from "../../src/bench/page.ts";
import { markdownOf } from "../../src/bench/markdown.ts";
import { fastestRate, ratiosOf } from "../../src/bench/ratios.ts";
import { type BenchReport, BenchReportSchema } from "../../src/bench/schema.ts";
import { median, seededRandom } from "../../src/run/statistics.ts";

const NOISE = { low: 0.99, high: 1.01 };

/** Twenty rounds of a machine that slows down and speeds up, in which every contender has its own share. */
function samples(ms: number, seed: number): number[] {
  const [machine, own] = [seededRandom(7), seededRandom(seed)];
  return Array.from({ length: 20 }, () => ms * (1 + machine()) * (1 + 0.01 * own()));
}

const SAMPLED = [
  { variant: "un", engine: "onnxruntime", precision: "fp32", ms: 9 },
  { variant: "lnBest", engine: "onnxruntime", precision: "fp32", ms: 10 },
  { variant: "lnExported", engine: "onnxruntime", precision: "fp32", ms: 12 },
  { variant: "un", engine: "openvino", precision: "fp32", ms: 8 },
  { variant: "lnTorchExport", engine: "openvino", precision: "fp32", ms: 11 },
  { variant: "lnTorch", engine: "pytorch", precision: "fp32", ms: 16 },
  { variant: "un", engine: "openvino", precision: "fp16", ms: 4 },
].map(({ ms, ...about }, i) => ({
  ...about as { variant: "un"; engine: "onnxruntime"; precision: "fp32" | "fp16" },
  id: `${about.variant}/${about.engine}/${about.precision}`,
  samplesMs: samples(ms, i + 1),
}));

/** The same rounds as ten loadings of two. */
const TURNS = {
  baseline: "lnBest/onnxruntime/fp32",
  band: NOISE,
  loadings: Array.from({ length: 10 }, (_, i) => {
    const of = (samplesMs: readonly number[]) => samplesMs.slice(2 * i, 2 * i + 2);
    return {
      samplesMs: Object.fromEntries(SAMPLED.map(({ id, samplesMs }) => [id, of(samplesMs)])),
      againMs: of(samples(10, 99)),
    };
  }),
};

Deno.test("ratiosOf() divides UN by the others of its engine and precision, by itself in fp32, and the best by the best", () => {
  const ratios = ratiosOf(SAMPLED, TURNS);
  assert.deepEqual(ratios.map(({ name, numerator, denominator }) => `${name}: ${numerator} ${denominator}`), [
    "UN folded / LN at its best: un/onnxruntime/fp32 lnBest/onnxruntime/fp32",
    "UN folded / LN as exported: un/onnxruntime/fp32 lnExported/onnxruntime/fp32",
    "UN folded / LN, PyTorch's export: un/openvino/fp32 lnTorchExport/openvino/fp32",
    "UN folded, fp16 / fp32: un/openvino/fp16 un/openvino/fp32",
    "best UN / best peer's LN: un/openvino/fp32 lnTorchExport/openvino/fp32",
  ]);
  // The machine's own changes, a factor of two, cancel within a round.
  const [best] = ratios;
  assert.ok(Math.abs(best!.median - 0.9) < 0.01, String(best!.median));
  assert.ok(best!.low <= best!.median && best!.median <= best!.high && best!.high - best!.low < 0.01);
  assert.equal(best!.verdict, "faster");
});

Deno.test("fastestRate() is the rate of the fastest round, in GFLOP per second", () => {
  assert.equal(fastestRate({ samplesMs: [20, 10, 30], gflop: 1 }), 100);
  assert.equal(fastestRate({ samplesMs: [5, 50, 6], gflop: 2 }), 400);
});

const parity = { maxRelError: 3.21e-7, against: "UN as described, fp32", agrees: true, bound: 1e-3 };

const REPORT: BenchReport = {
  schema: 1,
  command: "deno task bench --models vit",
  startedAt: "2026-01-02T03:04:05.000Z",
  machine: { os: "linux x86_64", cpu: "a processor", cores: 2, threads: 2, loadAverage: 0.25 },
  versions: { unfold: "0.1.0", onnxruntime: "1.30.0" },
  cases: [{
    model: "vit",
    title: "DeiT-S",
    batch: 8,
    rounds: 20,
    contenders: SAMPLED.map(({ samplesMs, ...about }) => ({
      ...about,
      backend: `${about.engine} 1, CPU, 2 threads`,
      gflop: 9.2,
      medianMs: median(samplesMs),
      minMs: Math.min(...samplesMs),
      p90Ms: Math.max(...samplesMs),
      coefficientOfVariation: 0.021,
      utilization: 0.755,
      parity: about.precision === "fp16" ? { ...parity, agrees: false, maxRelError: null } : parity,
      samplesMs,
    })),
    ratios: ratiosOf(SAMPLED, TURNS),
    noise: { ...NOISE, contender: "lnBest/onnxruntime/fp32" },
    peak: { product: "1536 x 1552 x 1536", gflopPerS: 250.4, best: 267.2, samplesMs: samples(5, 9) },
    skipped: [{ id: "un/onnxruntime/bf16", why: "no\n  bfloat16" }],
    warnings: ["a load of 3.0 on 2 cores"],
  }],
  structure: [{
    model: "vit",
    batch: 8,
    precision: "fp16",
    variant: "lnBest",
    kernels: 98,
    normalizationKernels: null,
    planBytes: 44_100_000,
    normalizationBytes: 60_518_400,
  }, {
    model: "vit",
    batch: 8,
    precision: "fp16",
    variant: "affineTorchScript",
    kernels: 101,
    normalizationKernels: 0,
    planBytes: 48_500_000,
    normalizationBytes: null,
  }],
  notes: ["OpenVINO is left out: no library"],
};

Deno.test("BenchReportSchema reads back what was written, samples and all, and refuses another form", () => {
  assert.deepEqual(BenchReportSchema.parse(JSON.parse(JSON.stringify(REPORT))), REPORT);
  assert.equal(BenchReportSchema.safeParse({ ...REPORT, schema: 2 }).success, false);
  const [first] = REPORT.cases;
  const broken = { ...REPORT, cases: [{ ...first!, peak: undefined }] };
  assert.equal(BenchReportSchema.safeParse(broken).success, false);
});

Deno.test("markdownOf() says every figure with its interval, and what was left out", () => {
  const text = markdownOf(REPORT);
  const has = (line: string) => assert.ok(text.split("\n").includes(line), `${line}\nis not in\n${text}`);
  has("`deno task bench --models vit`");
  has("a processor, 2 cores, 2 threads, load 0.3 before; unfold 0.1.0, onnxruntime 1.30.0.");
  const { median: middle, low, high, ofMinima } = REPORT.cases[0]!.ratios[0]!;
  has(
    `| vit | 8 | onnxruntime | UN folded / LN at its best | ${middle.toFixed(3)} | ${low.toFixed(3)} to ${
      high.toFixed(3)
    } | ${ofMinima.toFixed(3)} | faster |`,
  );
  has("| vit | 8 | UN folded | onnxruntime | fp32 | 3.2e-7 | 1e-3 | agrees |");
  has("| vit | 8 | UN folded | openvino | fp16 | cannot be compared | 1e-3 | **differs** |");
  has("| vit | 8 | fp16 | LN at its best | 98 | ? | 60.5 MB | 44.1 MB |");
  has("| vit | 8 | fp16 | UN not folded, TorchScript's export | 101 | 0 | ? | 48.5 MB |");
  has("- left out: un/onnxruntime/bf16: no bfloat16");
  has("- warning: a load of 3.0 on 2 cores");
  has("- OpenVINO is left out: no library");
  assert.match(text, /LN at its best \(onnxruntime\) against itself is within 0\.990 to 1\.010/);
  // The fastest first.
  assert.match(text, /\| UN folded, fp16 \| openvino \|.*\n\| UN folded \| openvino \|/);
  assert.ok(text.endsWith("library\n"));
});

Deno.test("markdownOf() leaves out the sections that nothing was measured for", () => {
  const text = markdownOf({ ...REPORT, cases: [], notes: [] });
  assert.doesNotMatch(text, /Ratios|Parity|Left out/);
  assert.match(text, /## Structure on a GPU/);
  assert.doesNotMatch(markdownOf({ ...REPORT, structure: null }), /Structure/);
});

Deno.test("benchPage() has a section for every case, each ratio, and loads nothing", () => {
  const text = benchPage(REPORT);
  assert.match(text, />vit, batch 8<\/h3>/);
  assert.match(text, /<svg[^>]*class="wide"/);
  for (const { name } of REPORT.cases[0]!.ratios) assert.ok(text.includes(name.replace("'", "&#39;")), name);
  assert.match(text, /no library/);
  assert.doesNotMatch(text, /<script|src=|https?:(?!\/\/www\.w3\.org)/);
  assert.doesNotMatch(benchPage({ ...REPORT, cases: [] }), /id="ratios"/);
});
