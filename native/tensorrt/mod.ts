/**
 * NVIDIA's TensorRT by Deno FFI: networks are described and built into engines (no GPU needed with TensorRT for RTX),
 * engines are loaded and run. Everything made here is disposable; declare it with `using`.
 */
export { Builder, BuilderConfig, type ShapeRange } from "./builder.ts";
export type {
  ActivationKind,
  BuilderFlag,
  ComputeCapability,
  DType,
  ElementwiseOp,
  ProfilingVerbosity,
  ReduceOp,
  SampleMode,
  Severity,
  UnaryOp,
} from "./enums.ts";
export type { Flavour, Layout } from "./layout.ts";
export { LAYOUTS } from "./layouts/mod.ts";
export type {
  AttentionOptions,
  ConvolutionOptions,
  MatmulOptions,
  NormalizationOptions,
  ParametricActivation,
  ShuffleOptions,
  SliceOptions,
} from "./layer_options.ts";
export { flavourOf, loadTensorRt, TensorRt } from "./load.ts";
export { type LocatedTensorRt, type LocateOptions, locateTensorRt } from "./locate.ts";
export type { LogLine, LogListener } from "./logger.ts";
export { Network } from "./network.ts";
export type { Values } from "./network_core.ts";
export { Plan } from "./plan.ts";
export type { ProgressEvent, ProgressListener } from "./progress.ts";
export { Engine, ExecutionContext, type IoTensor, Runtime, type StreamPointer } from "./runtime.ts";
export { Tensor } from "./tensor.ts";
