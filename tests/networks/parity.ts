/**
 * Networks against what PyTorch computed: a fixture of `tests/fixtures/networks` is imported, traced, run by
 * ONNX Runtime as it was described and as it was folded, in fp32 and in fp16, the latter also in the form for
 * TensorRT, and each is compared with the fixture's outputs. What was measured is written to `build/parity.md`, one row a case. Errors are normwise,
 * max |a - b| / max |b|.
 */
import assert from "node:assert/strict";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import type { SettingOptions } from "../../src/checkpoints/settings.ts";
import type { Model } from "../../src/dsl/model.ts";
import type { Precision } from "../../src/ir/dtype.ts";
import type { Graph } from "../../src/ir/graph.ts";
import type { Norm } from "../../src/norms/families.ts";
import { asOnnx } from "../../src/rewrite/backends/onnx_forms.ts";
import { optimize, remainingNorms } from "../../src/rewrite/pipeline.ts";
import type { WeightSource } from "../../src/weights/mod.ts";
import { errorOf, type RecordedCall, recordedCall } from "../recorded.ts";

/**
 * fp32: PyTorch and ONNX Runtime each round every step to 6e-8, in different orders; over a network of two
 * layers that comes to some 1e-6. Folded, weights are other numbers, rounded once more, and sums cancel
 * differently.
 */
export const BOUNDS = { traced: 1e-5, folded: 1e-4 } as const;

/**
 * What the form for TensorRT may have in fp16, over the folded network's bound: ONNX Runtime rounds more of
 * its intermediate results. timm_vit_repbn has 1.3e-3 and 6.2e-3 there, and 7.3e-3 in both forms where every
 * operator rounds.
 */
const MORE_ROUNDING = 2;

const FIXTURES = new URL("../fixtures/networks/", import.meta.url);

export const fixture = (name: string): URL => new URL(`${name}/`, FIXTURES);

export interface Parity {
  /** The fixture's folder. */
  readonly fixture: string;
  /** Which of its calls: `io` unless said. */
  readonly run?: string;
  /** The row's name, where a fixture has several. */
  readonly title?: string;
  readonly model: Model;
  readonly weights: () => WeightSource;
  /** In place of the model's own. */
  readonly norm?: Norm;
  /** Normalizations that stay after folding. */
  readonly remaining: number;
  /** The bound in fp16, folded, and why it is what it is. */
  readonly fp16: number;
}

/** Checks one network and adds its row to the table. */
export async function checkParity(parity: Parity): Promise<void> {
  const { fixture: name, run = "io", model, norm } = parity;
  const call = callOf(name, run);
  const trace = (precision: Precision): Graph =>
    model.trace({ weights: parity.weights(), precision, ...(norm && { norm }) });
  const traced = trace("fp32");
  const folded = optimize(traced);
  const half = optimize(trace("fp16"));
  const remaining = remainingNorms(folded.graph);
  const errors = {
    traced: await errorOf(traced, call),
    folded: await errorOf(folded.graph, call),
    fp16: await errorOf(half.graph, call),
    forTensorRt: await errorOf(asOnnx(folded.graph, "tensorrt"), call),
    fp16ForTensorRt: await errorOf(asOnnx(half.graph, "tensorrt"), call),
  };
  const what = `${parity.title ?? name}${run === "io" ? "" : ` (${run})`}`;
  await writeRow({ network: what, norms: folded.norms.length, remaining, ...errors });
  assert.ok(errors.traced <= BOUNDS.traced, `${what} as described: ${errors.traced}`);
  assert.ok(errors.folded <= BOUNDS.folded, `${what}, folded: ${errors.folded}`);
  assert.ok(errors.fp16 <= parity.fp16, `${what}, folded, fp16: ${errors.fp16}`);
  assert.ok(errors.forTensorRt <= BOUNDS.folded, `${what}, for TensorRT: ${errors.forTensorRt}`);
  assert.ok(
    errors.fp16ForTensorRt <= parity.fp16 * MORE_ROUNDING,
    `${what}, for TensorRT, fp16: ${errors.fp16ForTensorRt}`,
  );
  assert.equal(remaining, parity.remaining, `${what}: ${remaining} normalizations remain`);
}

/** The inputs and outputs of one call of a fixture, in fp32. */
function callOf(name: string, run: string): RecordedCall {
  return recordedCall(new URL(run === "io" ? "io.safetensors" : `io.${run}.safetensors`, fixture(name)));
}

interface Row {
  readonly network: string;
  readonly norms: number;
  readonly remaining: number;
  readonly traced: number;
  readonly folded: number;
  readonly fp16: number;
  readonly forTensorRt: number;
  readonly fp16ForTensorRt: number;
}

const TABLE = new URL("../../build/parity.md", import.meta.url);
const HEAD = `# Networks against PyTorch

Largest error of any output, max |a - b| / max |b|, on ONNX Runtime. Written by the tests of \`tests/networks\`; bounds are
${BOUNDS.traced} as described and ${BOUNDS.folded} folded in fp32, and each test's own in fp16.

| network | normalizations | remaining | as described | folded | folded, fp16 | for TensorRT | the same, fp16 |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`;

/**
 * Replaces the network's row, or adds it: each file of tests writes its own rows, in any order and at the
 * same time.
 */
async function writeRow({ network, norms, remaining, ...errors }: Row): Promise<void> {
  const { traced, folded, fp16, forTensorRt, fp16ForTensorRt } = errors;
  const digits = [traced, folded, fp16, forTensorRt, fp16ForTensorRt].map((error) => error.toExponential(1));
  const row = `| ${[network, norms, remaining, ...digits].join(" | ")} |`;
  await Deno.mkdir(new URL(".", TABLE), { recursive: true });
  using file = await Deno.open(TABLE, { read: true, write: true, create: true });
  await file.lock(true);
  const text = await Deno.readTextFile(TABLE);
  const rows = text.split("\n").filter((line) => line.startsWith("| ") && !/^\| (network|---)/.test(line));
  const others = rows.filter((line) => !line.startsWith(`| ${network} |`));
  await file.seek(0, Deno.SeekMode.Start);
  await file.truncate();
  await file.write(new TextEncoder().encode(`${HEAD}${[...others, row].sort().join("\n")}\n`));
}

/** A fixture's network, recognised by its names. */
export function imported(
  name: string,
  options: SettingOptions & { readonly file?: string } = {},
): { readonly format: string; readonly model: Model; weights(): WeightSource } {
  const { file = "", ...reading } = options;
  const { format, model, open } = recogniseCheckpoint(new URL(file, fixture(name)), { settings: reading });
  return { format, model, weights: open };
}
