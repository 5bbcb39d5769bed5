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
  EngineValidity,
  ProfilingVerbosity,
  ReduceOp,
  SampleMode,
  Severity,
  UnaryOp,
  WeightsRole,
} from "./abi/enums.ts";
export { Engine, type IoTensor } from "./engine.ts";
export { ExecutionContext, type StreamPointer } from "./execution_context.ts";
export type { Flavour, Layout } from "./abi/layout.ts";
export { LAYOUTS } from "./abi/layouts.ts";
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
export { type LocatedTensorRt, type LocateOptions, locateTensorRt } from "./find/locate.ts";
export type { LogLine, LogListener } from "./logger.ts";
export { Network } from "./network.ts";
export type { Values } from "./network_core.ts";
export { Plan } from "./plan.ts";
export type { ProgressEvent, ProgressListener } from "./progress.ts";
export type { LayerListener } from "./profiler.ts";
export { type NewWeights, Refitter, type WeightsPlace } from "./refitter.ts";
export { Runtime, type ValidityAnswer } from "./runtime.ts";
export { RuntimeCache } from "./runtime_cache.ts";
export { Tensor } from "./tensor.ts";
