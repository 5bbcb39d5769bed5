/**
 * NVIDIA's TensorRT by Deno FFI: networks are described and built into engines (no GPU needed with TensorRT
 * for RTX), engines are loaded and run. Everything made here is disposable; declare it with `using`.
 */
export { Builder } from "./build/builder.ts";
export { BuilderConfig } from "./build/builder_config.ts";
export type { ShapeRange } from "./shape_range.ts";
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
export { Engine, type IoTensor } from "./run/engine.ts";
export { ExecutionContext, type StreamPointer } from "./run/execution_context.ts";
export type { Flavour, Layout } from "./abi/layout.ts";
export { LAYOUTS } from "./abi/layouts.ts";
export type {
  ConvolutionOptions,
  MatmulOptions,
  NormalizationOptions,
  ParametricActivation,
  ShuffleOptions,
  SliceOptions,
} from "./build/layer_options.ts";
export { flavourOf } from "./abi/versions.ts";
export { loadTensorRt, TensorRt } from "./load.ts";
export { type LocatedTensorRt, type LocateOptions, locateTensorRt } from "./find/locate.ts";
export type { LogLine, LogListener } from "./logger.ts";
export { Network } from "./build/network.ts";
export type { Values } from "./build/network_core.ts";
export { Plan } from "./plan.ts";
export type { ProgressEvent, ProgressListener } from "./build/progress.ts";
export type { LayerListener } from "./run/profiler.ts";
export { type NewWeights, Refitter, type WeightsPlace } from "./run/refitter.ts";
export { Runtime, type ValidityAnswer } from "./run/runtime.ts";
export { RuntimeCache } from "./run/runtime_cache.ts";
export { Tensor } from "./build/tensor.ts";
