/** A network's ONNX file, for the user. */
import { join } from "node:path";
import type { OnnxWords } from "../../emit/onnx.ts";
import { networkPrecision } from "../../ir/dtype.ts";
import type { Graph } from "../../ir/graph.ts";
import type { OnnxForm } from "../../rewrite/backends/onnx_form_names.ts";
import { ONNX_PIPELINES } from "../../rewrite/backends/onnx_forms.ts";
import { runPipeline } from "../../rewrite/pass.ts";
import type { Stage } from "../line.ts";
import type { Has } from "../known.ts";
import { aboutNetwork } from "../networks.ts";

/** A file that is to be written. */
export interface OnnxJob {
  readonly graph: Graph;
  readonly form: OnnxForm | undefined;
  readonly name: string;
  /** "un.onnx (Unified Normalization)". */
  readonly title: string;
  readonly about?: OnnxWords;
}

/** @param jobOf what to write, of what is made by then */
export function onnx<In>(
  jobOf: (made: In) => OnnxJob,
): Stage<In & Has<"order" | "work">, Has<"onnx" | "onnxPasses">> {
  return {
    name: "onnx",
    says: (made) => `writing ${jobOf(made).title}`,
    run: async (made) => {
      const { graph, form = "standard", name, about } = jobOf(made);
      const lowered = runPipeline(graph, ONNX_PIPELINES[form]);
      const { byteLength, nodes } = await made.work.publish(lowered.graph, name, about);
      const path = join(made.order.out, name);
      return { onnx: { path, bytes: byteLength, nodes }, onnxPasses: lowered.trace };
    },
  };
}

/** One of a build's networks in the precision of the engine. */
export function emittedOnnx(
  { order, quantized, network: { norm, network } }: Has<"order" | "quantized" | "network">,
): OnnxJob {
  const name = `${norm.family}.onnx`;
  const instead = order.quantize?.inOnnx ? quantized?.graphs.get(network.graph) : undefined;
  return {
    graph: instead ?? network.graph,
    form: order.onnx,
    name,
    title: `${name} (${norm.label})`,
    about: aboutNetwork({
      model: order.model,
      norm,
      network,
      precision: instead === undefined ? networkPrecision(order.precision) : order.quantize!.to,
    }),
  };
}
