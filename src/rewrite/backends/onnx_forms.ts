/** The runtimes that an ONNX file's graph is lowered for. All forms mean the same. */
import type { Graph } from "../../ir/graph.ts";
import { type Pipeline, runPipeline } from "../pass.ts";
import { ANYTHING } from "../spec.ts";
import type { OnnxForm } from "./onnx_form_names.ts";
import { ONNX_RUNTIME } from "./onnxruntime.ts";
import { OPENVINO } from "./openvino.ts";
import { TENSORRT } from "./tensorrt.ts";

/** What makes each of them of an optimized graph. */
export const ONNX_PIPELINES: Readonly<Record<OnnxForm, Pipeline>> = {
  standard: { name: "standard", takes: ANYTHING, passes: [], leaves: ANYTHING },
  onnxruntime: ONNX_RUNTIME,
  openvino: OPENVINO,
  tensorrt: TENSORRT,
};

/** An optimized graph in a form. */
export function asOnnx(graph: Graph, form: OnnxForm = "standard"): Graph {
  return runPipeline(graph, ONNX_PIPELINES[form]).graph;
}
