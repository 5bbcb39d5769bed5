/**
 * The int8 part of a build: the folded network is quantized, or the build refused, before anything takes long; the file is
 * one more of the build's, and its time is compared with that of the same network in fp32.
 */
import { join } from "node:path";
import type { Int8Target } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import type { Int8Report } from "../report/report.ts";
import { asOnnx } from "../rewrite/backends/onnx_forms.ts";
import { compareLoadings, type Open, timeLoadings } from "../run/loadings.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { firstBatch, sampleInputs } from "./evaluate.ts";
import type { Stage } from "./mod.ts";
import { aboutNetwork } from "./networks.ts";
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
  const { byteLength, nodes } = await work.copy(graph, name, {
    ...aboutNetwork({ norm, network: wide, precision: "int8" }),
    [TARGET_KEY]: target,
  });
  return { graph, report: { target, ...report, onnx: { path: join(out, name), bytes: byteLength, nodes } } };
}

const COMPARISON_MS = 2000;
const LOADINGS = 9;
const MOST_MS = 20_000;

/** Int8 against fp32, the same network on the same examples, in turns. */
export async function timeInt8(
  { graph }: Int8,
  { contenders: [{ wide }], examples, work, options: { batch, signal } }: Stage,
): Promise<NonNullable<Int8Report["latency"]>> {
  let backend = "";
  const contender = (graph: Graph): Open => async (opened) => {
    const session = opened.use(await sessionFromOnnx(await work.onnx(graph)));
    backend = session.backend;
    return await session.prepare(firstBatch(session, examples, batch.timed));
  };
  const timed = await timeLoadings({
    contenders: { fp32: contender(asOnnx(wide.graph, "onnxruntime")), int8: contender(graph) },
    baseline: "fp32",
    minMs: COMPARISON_MS,
    firstLook: LOADINGS,
    deadlineMs: performance.now() + MOST_MS,
    signal,
  });
  const { ratio, rounds, top } = compareLoadings(timed, { top: "int8", bottom: "fp32" });
  return {
    backend,
    batch: batch.timed,
    rounds,
    ratio: ratio.median,
    ratioLow: ratio.low,
    ratioHigh: ratio.high,
    medianMs: top.medianMs,
  };
}
