/**
 * The whole line: a model to two engines, their ONNX files and a report that says what was folded, how
 * exactly and how fast. A failure or Ctrl-C leaves what was there before.
 */
import { commitHere } from "../report/commit.ts";
import type { Report } from "../report/report.ts";
import { line, type Watch } from "./line.ts";
import type { Has } from "./known.ts";
import type { Order } from "./order.ts";
import { compare } from "./stages/compare.ts";
import { deliver } from "./stages/deliver.ts";
import { describe, eachNetwork } from "./stages/describe.ts";
import { engine, planOf } from "./stages/engine.ts";
import { locate } from "./stages/locate.ts";
import { emittedOnnx, onnx } from "./stages/onnx.ts";
import { open } from "./stages/open.ts";
import { quantize } from "./stages/quantize.ts";
import { quantizeEngines } from "./stages/quantize_engines.ts";
import { report } from "./stages/report.ts";
import { round } from "./stages/round.ts";
import { time, timeInt8 } from "./stages/time.ts";

const EMIT = line<Has<"order" | "work" | "library" | "quantized"> & Has<"network">>()
  .add(engine(planOf))
  .add(onnx(emittedOnnx));

const BUILD = line<Has<"order" | "provenance">>()
  .add(describe)
  .add(open)
  .add(round)
  .add(quantizeEngines)
  .add(quantize)
  .add(locate)
  .add(eachNetwork(EMIT))
  .add(compare)
  .add(time)
  .add(timeInt8)
  .add(report)
  .add(deliver);

/**
 * Builds a model with its normalization folded, and the same model with the reference normalization.
 *
 * @returns the report, which is also written to `report.json`
 */
export async function buildModel(order: Order, watch: Watch = {}): Promise<Report> {
  const startedAt = new Date().toISOString();
  const provenance = { startedAt, command: order.command ?? null, ...await commitHere() };
  return (await BUILD.run({ order, provenance }, watch)).report;
}
