/**
 * UNfold: describe a Transformer with an offline normalization, fold the normalization into the linear layers around it,
 * and build a TensorRT engine. No GPU is needed to build; importing this module needs no permissions.
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
export { recogniseCheckpoint, type RecognisedCheckpoint } from "./src/checkpoints/recognise.ts";
export { type Audit, type AuditedNorm, auditModel } from "./src/compile/audit.ts";
export { type Batch, parseBatch } from "./src/compile/batch.ts";
export type { Subject } from "./src/compile/order.ts";
export { compile, type CompileOptions, type Network } from "./src/compile/networks.ts";
export * from "./src/dsl/mod.ts";
export { writeOnnx } from "./src/emit/onnx.ts";
export {
  buildEngine,
  type BuiltEngine,
  type EngineOptions,
  locateLibrary,
  type Profile,
} from "./src/emit/tensorrt.ts";
export { UnfoldError } from "./src/errors.ts";
export type { DType, Precision } from "./src/ir/dtype.ts";
export type { Graph, Node, TensorType } from "./src/ir/graph.ts";
export { printGraph } from "./src/ir/print.ts";
export type { Dim, Shape } from "./src/ir/shape.ts";
export * from "./src/models/table.ts";
export * from "./src/norms/families.ts";
export { inspectPlan, inspectPlanFile } from "./src/report/plan.ts";
export { type Report } from "./src/report/report.ts";
export { ReportSchema } from "./src/report/schema.ts";
export type { Baseline } from "./src/regress/manifest.ts";
export { regress, type RegressOptions } from "./src/regress/regress.ts";
export { saveBaseline, type SaveOptions } from "./src/regress/save.ts";
export { type RunReport, RunReportSchema } from "./src/report/run_report.ts";
export type { NormFold } from "./src/rewrite/fold/fold_norm.ts";
export { type Folded, foldNorms, type OptimizeOptions } from "./src/rewrite/pipeline.ts";
export type { LayerNormForm } from "./src/rewrite/fold/recentre.ts";
export { compareLatency } from "./src/run/timing.ts";
export { sessionFromOnnx } from "./src/run/onnxruntime.ts";
export { type EngineProfile, type ProfileOptions, profilePlan } from "./src/run/tensorrt/profile.ts";
export { layerWeights, refitPlan } from "./src/run/tensorrt/refit.ts";
export { findOpenVino, sessionFromOnnxByOpenVino } from "./src/run/openvino.ts";
export { type Session, type TensorValue, tensorValue } from "./src/run/session.ts";
export * from "./src/weights/mod.ts";
