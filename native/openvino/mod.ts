/** OpenVINO as far as running an ONNX file on a CPU needs it. */
export { loadOpenVino, OpenVino, OPENVINO_PACKAGE, type OpenVinoCompileOptions } from "./load.ts";
export { locateOpenVino, type LocateOpenVinoOptions } from "./locate.ts";
export { CompiledModel, InferRequest, type InputTensor, type OpenVinoPort } from "./model.ts";
