/**
 * The int8 part of a build: the folded network is quantized, or the build refused, before anything takes long; the file is
 * one more of the build's, and its time is compared with that of the same network in fp32.
 */
import { join } from "node:path";
import type { Int8Target } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import type { Int8Report } from "../report/schema.ts";
import { asOnnx } from "../rewrite/onnx_forms.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import type { PreparedCall } from "../run/session.ts";
import { compareLatency } from "../run/timing.ts";
import { firstBatch, sampleInputs } from "./evaluate.ts";
import type { Stage } from "./mod.ts";
import { quantize } from "./quantize.ts";

export interface Int8Options {
  /** The processors it is for; default: `any`. */
  readonly target?: Int8Target;
  /** The file with sample inputs. */
  readonly calibrate: string | URL;
  /** In points of accuracy. */
  readonly maxAccuracyDrop: number;
  /** Of 1, where there are no labels. */
  readonly maxOutputError: number;
}

interface Int8 {
  readonly graph: Graph;
  readonly report: Omit<Int8Report, "latency">;
}

/** The file's own word, in its `metadata_props`, on the processors that it is for. */
const TARGET_KEY = "unfold.int8_for";

/** @throws {UnfoldError} sample inputs that do not fit, or a network that loses too much */
export async function buildInt8(
  stage: Stage,
  { target = "any", calibrate, ...limits }: Int8Options,
): Promise<Int8> {
  const { model, contenders: [{ norm, weights, wide }], examples, work, options: { batch, out, signal } } =
    stage;
  const { graph, ...report } = await quantize(wide.graph, {
    target,
    samples: sampleInputs(model, calibrate),
    labelled: examples.labels !== null && weights.trained ? examples : null,
    ...limits,
    batch: batch.timed,
    onnx: (graph) => work.onnx(graph),
    signal,
  });
  const name = `${norm.family}.int8.onnx`;
  const { byteLength, nodes } = await work.copy(graph, name, { [TARGET_KEY]: target });
  return { graph, report: { target, ...report, onnx: { path: join(out, name), bytes: byteLength, nodes } } };
}

const COMPARISON_MS = 2000;

/** Int8 against fp32, the same network on the same examples, in turns. */
export async function timeInt8(
  { graph }: Int8,
  { contenders: [{ wide }], examples, work, options: { batch, signal } }: Stage,
): Promise<NonNullable<Int8Report["latency"]>> {
  await using opened = new AsyncDisposableStack();
  const prepared = async (graph: Graph) => {
    const session = opened.use(await sessionFromOnnx(await work.onnx(graph)));
    return { session, call: await session.prepare(firstBatch(session, examples, batch.timed)) };
  };
  const [fp32, int8] = [await prepared(asOnnx(wide.graph, "onnxruntime")), await prepared(graph)];
  const contenders: Record<string, PreparedCall> = { fp32: fp32.call, int8: int8.call };
  const comparison = await compareLatency({
    contenders,
    baseline: "fp32",
    minMs: COMPARISON_MS,
    noiseMs: 0,
    ...(signal && { signal }),
  });
  const ratio = comparison.ratios.int8!;
  return {
    backend: int8.session.backend,
    batch: batch.timed,
    rounds: comparison.rounds,
    ratio: ratio.median,
    ratioLow: ratio.low,
    ratioHigh: ratio.high,
    medianMs: comparison.contenders.int8!.medianMs,
  };
}
