/**
 * One build of a model for a baseline or a run: the network that CPUs time, the plan, what they consist of,
 * and how far outputs are from what they should be. The reference normalization is left out: two builds of
 * one network are compared.
 */
import { join } from "node:path";
import { type Examples, usualSizes } from "../compile/examples.ts";
import { line, type Watch } from "../compile/line.ts";
import type { Has } from "../compile/known.ts";
import type { Subject } from "../compile/order.ts";
import { compare } from "../compile/stages/compare.ts";
import { deliver } from "../compile/stages/deliver.ts";
import { describe, eachNetwork } from "../compile/stages/describe.ts";
import { engine, planOf } from "../compile/stages/engine.ts";
import { locate } from "../compile/stages/locate.ts";
import { onnx, type OnnxJob } from "../compile/stages/onnx.ts";
import { open } from "../compile/stages/open.ts";
import { round } from "../compile/stages/round.ts";
import { bindShape, showShape } from "../ir/shape.ts";
import type { ParityReport } from "../report/report.ts";
import type { Agreement, Structure } from "./manifest.ts";
import { structureOf } from "./structure.ts";

const EMIT = line<Has<"order" | "work" | "library"> & Has<"network">>()
  .add(onnx(fastestOnnx))
  .add(engine(planOf));

const BUILD = line<Has<"order">>()
  .add(describe)
  .add(open)
  .add(round)
  .add(locate)
  .add(eachNetwork(EMIT))
  .add(compare)
  .add(deliver);

/** In fp32, as CPUs run it fastest. */
function fastestOnnx({ order: { model }, network: { wide } }: Has<"order" | "network">): OnnxJob {
  const name = `${model.name}.onnx`;
  return { graph: wide.graph, form: "onnxruntime", name, title: name };
}

export interface Building extends Pick<Watch, "onEvent" | "signal"> {
  /** Where the files go. */
  readonly folder: string;
  /** Whether to build the TensorRT plan. */
  readonly plans: boolean;
  /** Whether to run the network and compare its outputs. */
  readonly checks: boolean;
  readonly tensorrtLib?: string | undefined;
}

/** A TensorRT library, and what it calls itself. */
export interface Library {
  readonly path: string;
  /** "rtx 1.7.1". */
  readonly version: string;
}

export interface Build {
  readonly onnxPath: string;
  readonly planPath: string | null;
  readonly library: Library | null;
  readonly structure: Structure;
  readonly buildMs: number | null;
  readonly inputs: readonly string[];
  readonly examples: Examples;
  /** Null where nothing was compared. */
  readonly checked: Checked | null;
}

export interface Checked {
  readonly accuracy: number | null;
  readonly agreement: Agreement;
}

/** Compiles, builds and compares. */
export async function build(
  subject: Subject,
  { folder, plans, checks, tensorrtLib, onEvent, signal }: Building,
): Promise<Build> {
  const { model, norm, batch } = subject;
  const skipped = { engine: !plans, check: !checks, reference: true };
  const made = await BUILD.run({
    order: {
      ...subject,
      out: folder,
      tensorrtLib,
      skip: (["engine", "check", "reference"] as const).filter((part) => skipped[part]),
    },
  }, {
    signal,
    // Which build this is has been said; of its stages, only what takes long and shows how far it is.
    onEvent: (event) => event.kind === "progress" && onEvent?.(event),
  });
  const { networks: [{ network, wide }], emitted: [{ engine, onnx }], compared } = made;
  const dims = usualSizes(model, batch.timed);
  return {
    onnxPath: onnx.path,
    planPath: engine && join(folder, `${norm.family}.plan`),
    library: engine && {
      path: engine.built.library.path,
      version: `${engine.built.library.flavour} ${engine.built.library.version}`,
    },
    structure: structureOf(network.graph, { dims, plan: engine && engine.plan }),
    buildMs: engine && engine.built.phases.buildMs,
    inputs: wide.graph.inputs.map(({ name, type }) =>
      `${name} ${type.dtype}${showShape(bindShape(type.shape, dims))}`
    ),
    examples: made.examples,
    checked: compared.parity && {
      accuracy: compared.accuracy?.[`${norm.family}Folded`] ?? null,
      agreement: agreementOf(compared.parity),
    },
  };
}

function agreementOf({ maxRelError, against, agrees }: ParityReport): Agreement {
  return { maxRelError, against, agrees };
}
