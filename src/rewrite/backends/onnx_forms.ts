/** For whom an ONNX file's graph is made ready. All forms mean the same. */
import type { Graph } from "../../ir/graph.ts";
import { lowerForOnnxRuntime } from "./onnxruntime.ts";
import { lowerForOpenVino } from "./openvino.ts";

/** `onnxruntime` has operators that only ONNX Runtime knows, in fp32; the others are the standard's. */
export const ONNX_FORMS = ["standard", "onnxruntime", "openvino"] as const;
export type OnnxForm = (typeof ONNX_FORMS)[number];

const LOWERINGS: Readonly<Record<OnnxForm, (graph: Graph) => Graph>> = {
  standard: (graph) => graph,
  onnxruntime: lowerForOnnxRuntime,
  openvino: lowerForOpenVino,
};

/** An optimized graph in a form. */
export function asOnnx(graph: Graph, form: OnnxForm = "standard"): Graph {
  return LOWERINGS[form](graph);
}
