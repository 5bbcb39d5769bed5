/**
 * One build of a model for a baseline or a run: the network that CPUs time, the plan, what they consist of,
 * and how far outputs are from what they should be. The reference normalization is left out: two builds of
 * one network are compared.
 */
import { join } from "node:path";
import { type Examples, usualSizes } from "../compile/examples.ts";
import { line, type Stage, type Watch } from "../compile/line.ts";
import type { Has } from "../compile/known.ts";
import type { Subject } from "../compile/order.ts";
import { compare } from "../compile/stages/compare.ts";
import { deliver } from "../compile/stages/deliver.ts";
import { describe, eachNetwork } from "../compile/stages/describe.ts";
import { engine, planOf } from "../compile/stages/engine.ts";
import { locate } from "../compile/stages/locate.ts";
import { onnx, type OnnxJob } from "../compile/stages/onnx.ts";
import { open } from "../compile/stages/open.ts";
import { quantizeEngines } from "../compile/stages/quantize_engines.ts";
import { round } from "../compile/stages/round.ts";
import { bindShape, showShape } from "../ir/shape.ts";
import type { ParityReport } from "../report/report.ts";
import type { Agreement, Structure } from "./manifest.ts";
import { structureOf } from "./structure.ts";

const EMIT = line<Has<"order" | "work" | "library" | "quantized"> & Has<"network">>()
  .add(onnx(fastestOnnx))
  .add(engine(planOf));

/** Quantized once: what is allowed is found by running the network, which builds behind the first do not. */
const quantize: typeof quantizeEngines extends Stage<infer In, infer Out> ? Stage<In & Again, Out> : never = {
  ...quantizeEngines,
  run: (made, context) => {
    const { again: first, networks: [{ network }] } = made;
    if (first === null) return quantizeEngines.run(made, context);
    const graphs = new Map([[network.graph, [...first.graphs.values()][0]!]]);
    return { quantized: { ...first, graphs } };
  },
};

interface Again {
  /** Of an earlier build of the same. */
  readonly again: Has<"quantized">["quantized"];
}

const BUILD = line<Has<"order"> & Again>()
  .add(describe)
  .add(open)
  .add(round)
  .add(quantize)
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
  /** An earlier build of the same subject. */
  readonly first?: Build | undefined;
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
  /** Null where nothing is. */
  readonly quantized: Has<"quantized">["quantized"];
}

export interface Checked {
  readonly accuracy: number | null;
  readonly agreement: Agreement;
  /** Of outputs, root mean square, emulated; null where nothing is quantized. */
  readonly quantizationError: number | null;
}

/** Compiles, builds and compares. */
export async function build(
  subject: Subject,
  { folder, plans, checks, tensorrtLib, first, onEvent, signal }: Building,
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
    again: first?.quantized ?? null,
  }, {
    signal,
    // Which build this is has been said; of its stages, only what takes long and shows how far it is.
    onEvent: (event) => event.kind === "progress" && onEvent?.(event),
  });
  const { networks: [{ network, wide }], emitted: [{ engine, onnx }], compared, quantized } = made;
  const gate = quantized?.report.networks[norm.family]?.gate ?? null;
  const dims = usualSizes(model, batch.timed);
  return {
    onnxPath: onnx.path,
    planPath: engine && join(folder, `${norm.family}.plan`),
    library: engine && {
      path: engine.built.library.path,
      version: `${engine.built.library.flavour} ${engine.built.library.version}`,
    },
    structure: structureOf(quantized?.graphs.get(network.graph) ?? network.graph, {
      dims,
      plan: engine && engine.plan,
      kept: network.kept,
      quantized: quantized?.products ?? [],
    }),
    quantized,
    buildMs: engine && engine.built.phases.buildMs,
    inputs: wide.graph.inputs.map(({ name, type }) =>
      `${name} ${type.dtype}${showShape(bindShape(type.shape, dims))}`
    ),
    examples: made.examples,
    checked: compared.parity && {
      accuracy: gate?.accuracy?.quantized ?? compared.accuracy?.[`${norm.family}Folded`] ?? null,
      agreement: agreementOf(compared.parity),
      quantizationError: gate && gate.outputError,
    },
  };
}

function agreementOf({ maxRelError, against, agrees }: ParityReport): Agreement {
  return { maxRelError, against, agrees };
}
