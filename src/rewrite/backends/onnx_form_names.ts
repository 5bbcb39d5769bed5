/** The names of `onnx_forms.ts` alone: commands check a flag by them before they load any pass. */

/**
 * `onnxruntime` has operators that only ONNX Runtime knows, in fp32; the others are the standard's.
 * `tensorrt` is what engines are built of: NVIDIA's own parser makes the same kernels of it.
 */
export const ONNX_FORMS = ["standard", "onnxruntime", "openvino", "tensorrt"] as const;
export type OnnxForm = (typeof ONNX_FORMS)[number];
