/**
 * UNfold: describe a Transformer with an offline normalization, fold the normalization into the linear layers
 * around it, and build a TensorRT engine. No GPU is needed to build; importing this module needs no
 * permissions.
 *
 * @example Describe, fold, look
 * ```ts
 * import { block, compile, float, model, norm, randomWeights, unifiedNorm } from "./mod.ts";
 *
 * const encoder = model({
 *   name: "encoder",
 *   inputs: { tokens: float(["B", 128, 64]) },
 *   norm: unifiedNorm(),
 *   forward: ({ tokens }, p) => block(tokens, p.at("block"), { heads: 4, mlp: { hidden: 256 } }),
 * });
 * const { norms } = compile(encoder, { weights: randomWeights({ seed: 1 }) });
 * console.assert(norms.every(({ folded }) => folded));
 * ```
 *
 * @module
 */
// A network is described,
export {
  and,
  argMax,
  attention,
  type AttentionInputs,
  type AttentionOptions,
  type AxisOptions,
  block,
  type BlockOptions,
  cachedAttention,
  type CachedAttentionOptions,
  compare,
  type Comparison,
  concat,
  constant,
  type ConstantOptions,
  convolution,
  convolution1d,
  type Convolution1dOptions,
  type ConvolutionOptions,
  cumulativeSum,
  type Elementary,
  type ElementaryOptions,
  embedding,
  endToken,
  float,
  gatherAt,
  gatherElements,
  type HeadRows,
  hidden,
  ids,
  isNan,
  joinHeads,
  type KeyValues,
  layerScale,
  type LayerScaleOptions,
  linear,
  type LinearOptions,
  mlp,
  type MlpOptions,
  model,
  norm,
  type NormalizationOptions,
  not,
  or,
  pad,
  paddingMask,
  type PadOptions,
  patchEmbedding,
  pool,
  type PoolOptions,
  prependToken,
  range,
  repeatHeads,
  residual,
  type ResidualOptions,
  resize,
  type ResizeOptions,
  rotaryTable,
  rotateHalf,
  scaledDotProductAttention,
  sinusoids,
  size,
  splitHeads,
  tokenPositions,
  where,
} from "./src/dsl/mod.ts";
export type {
  Activation,
  DimRange,
  Evaluation,
  InputSpec,
  Keep,
  Model,
  ModelSpec,
  Placement,
  ReduceOptions,
  RotaryOptions,
  RotaryScaling,
  RotaryTable,
  Scope,
  SinusoidOptions,
  SliceOptions,
  Tensor,
  TraceOptions,
  TupleOf,
} from "./src/dsl/mod.ts";
// in windows and other orders of an image's tokens,
export {
  distances,
  type Grid,
  gridOf,
  mapToTokens,
  mergingOrder,
  PADDING,
  type PerAxis,
  relativePositions,
  reorder,
  rowMajor,
  shiftMask,
  type TokenOrder,
  tokensToMap,
  unfoldOrder,
  windowOrder,
  type Windows,
} from "./src/dsl/mod.ts";
export type { DType, EnginePrecision, PortType, Precision, StorageType } from "./src/ir/dtype.ts";
export type { TensorData } from "./src/ir/data.ts";
export type { Dim, DimValues, Shape } from "./src/ir/shape.ts";
// with a normalization,
export {
  affineNorm,
  batchNorm,
  type BatchNormOptions,
  batchRenorm,
  type BatchRenormOptions,
  compressedRmsNorm,
  type CompressedRmsNormOptions,
  constantLayerNorm,
  dynamicTanh,
  FAMILIES,
  type FamilyNorm,
  groupNorm,
  type GroupNormOptions,
  type GroupScalingOptions,
  layerNorm,
  type LayerNormOptions,
  movingAverageBatchNorm,
  noNorm,
  type Norm,
  NORM_FAMILIES,
  type NormFamily,
  type NormMaker,
  type NormOptions,
  NORMS,
  powerNorm,
  powerNormGroupScaling,
  powerNormV,
  repBatchNorm,
  type RepBatchNormOptions,
  rmsNorm,
  type RmsNormOptions,
  unifiedNorm,
} from "./src/norms/families.ts";
// How they are trained, as executable equations,
export {
  batchNormTraining,
  batchRenormTraining,
  type BatchState,
  type ProgressiveParameters,
  progressiveRepBatchNormTraining,
  type ProgressiveState,
  type ProgressiveTraining,
  type RenormTraining,
} from "./src/norms/training/batch.ts";
export {
  movingAverageBatchNormTraining,
  type MovingAverageState,
  type MovingAverageTraining,
  powerNormTraining,
  powerNormVTraining,
  type PowerState,
  type WarmTraining,
} from "./src/norms/training/square_families.ts";
export type {
  Affine,
  Arrays,
  TrainingForm,
  TrainingGradients,
  TrainingOptions,
  TrainingStep,
} from "./src/norms/training/step.ts";
export {
  unifiedNormTraining,
  type UnifiedState,
  type UnifiedTraining,
} from "./src/norms/training/unified.ts";
// or taken from the papers,
export * from "./src/models/mod.ts";
// or from a checkpoint; its weights come from somewhere,
export { recogniseCheckpoint } from "./src/checkpoints/recognise.ts";
export type { RecognisedCheckpoint } from "./src/checkpoints/recognised.ts";
export type { Basis, SettingOptions, Settled } from "./src/checkpoints/settings.ts";
export {
  type Checkpoint,
  checkpointWeights,
  type CheckpointWeightsOptions,
  type DownloadProgress,
  type Naming,
  openCheckpoint,
  type OpenOptions,
  type PinnedMember,
  type PlainValue,
  randomWeights,
  type StateDictChoice,
  type StateOptions,
  type WeightHint,
  type WeightSource,
  wheelFiles,
  type WheelPin,
  writeSafetensors,
} from "./src/weights/mod.ts";
// it is folded,
export { type Audit, type AuditedNorm, auditModel } from "./src/compile/audit.ts";
export { compile, type CompileOptions, type Network, type WeightOptions } from "./src/compile/networks.ts";
export type { Graph, Node, TensorType } from "./src/ir/graph.ts";
export { printGraph } from "./src/ir/print.ts";
export type { NormFold } from "./src/rewrite/fold/fold_norm.ts";
export type { KeptScopes } from "./src/rewrite/precision/keep.ts";
export type { LayerNormForm } from "./src/rewrite/fold/recentre.ts";
export type { OptimizeOptions, PassTrace } from "./src/rewrite/pipeline.ts";
// written and looked at,
export type {
  Flavour,
  LibrarySource,
  LocatedTensorRt,
  LocateOptions,
  LogLine,
  ProgressEvent,
  Severity,
} from "./src/emit/tensorrt.ts";
export type { Target } from "./src/emit/targets.ts";
export { type OnnxFile, type OnnxOptions, writeOnnx } from "./src/emit/onnx.ts";
export {
  buildEngine,
  type BuiltEngine,
  type EngineOptions,
  locateLibrary,
  type Profile,
} from "./src/emit/tensorrt.ts";
export {
  inspectPlan,
  inspectPlanFile,
  type PlanBlock,
  type PlanKernel,
  type PlanReport,
  type PlanSchedule,
} from "./src/report/plan.ts";
// run and timed,
export { type OnnxRuntimeOptions, sessionFromOnnx } from "./src/run/onnxruntime.ts";
export {
  findOpenVino,
  type FindOpenVinoOptions,
  type OpenVinoOptions,
  sessionFromOnnxByOpenVino,
} from "./src/run/openvino.ts";
export {
  type Feeds,
  type Outputs,
  type Port,
  type PreparedCall,
  type Session,
  type TensorValue,
  tensorValue,
} from "./src/run/session.ts";
export type {
  ClockReading,
  Distribution,
  LayerTime,
  Measured,
  ProfileFigures,
  QueryTrace,
} from "./src/run/profile.ts";
export type { Interval, Outliers } from "./src/run/statistics.ts";
export type { GpuOptions, GpuProgress } from "./src/run/tensorrt/engine.ts";
export type { LayerWeights } from "./src/emit/layer_weights.ts";
export { type EngineProfile, type ProfileOptions, profilePlan } from "./src/run/tensorrt/profile.ts";
export { layerWeights, refitPlan, type RefittedPlan } from "./src/run/tensorrt/refit.ts";
export {
  type Clock,
  compareLatency,
  type Latency,
  type LatencyComparison,
  type LatencyOptions,
  type LatencyRatio,
  type RoundProgress,
} from "./src/run/timing.ts";
// and compared with what it was.
export { type Batch, parseBatch } from "./src/compile/batch.ts";
export type { Subject } from "./src/compile/order.ts";
export type { Baseline, Recipe } from "./src/regress/manifest.ts";
export type { BaselineOptions } from "./src/regress/builds.ts";
export type { ComparisonOptions } from "./src/regress/comparison.ts";
export type { StoreOptions } from "./src/regress/store.ts";
export { regress, type RegressOptions } from "./src/regress/regress.ts";
export { saveBaseline, type SaveOptions } from "./src/regress/save.ts";
export type { Metric } from "./src/report/metrics.ts";
export {
  type Fingerprint,
  type Load,
  type MetricReport,
  type MetricVerdict,
  type ModelRun,
  parseRunReport,
  type RunClock,
  type RunReport,
  type RunVerdict,
  type StructureChange,
  type Timed,
} from "./src/report/run_report.ts";
export { UnfoldError } from "./src/errors.ts";
