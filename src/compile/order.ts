/** What is compiled, and what of it: the records that commands and scripts give to a build. */
import type { Model } from "../dsl/model.ts";
import type { EngineOptions } from "../emit/tensorrt.ts";
import type { Target } from "../emit/targets.ts";
import type { EnginePrecision, EngineQuantization, Int8Target } from "../ir/dtype.ts";
import type { Norm } from "../norms/families.ts";
import type { OnnxForm } from "../rewrite/backends/onnx_form_names.ts";
import type { Placement } from "../rewrite/backends/tensorrt_quantized.ts";
import type { LayerNormForm } from "../rewrite/fold/recentre.ts";
import type { Batch } from "./batch.ts";
import type { WeightOptions } from "./networks.ts";
import type { CalibrationOptions } from "./quantize/methods.ts";

/** A model and how to compile it. */
export interface Subject {
  /** The network. */
  readonly model: Model;
  /** The normalization it is compiled with. */
  readonly norm: Norm;
  /** What the engine's products compute in. */
  readonly precision: EnginePrecision;
  /** The form Layer Normalization is compiled in, where the network allows it. */
  readonly layerNorm: LayerNormForm;
  /** The batch sizes of the engine. */
  readonly batch: Batch;
  /** Where weights come from, in place of the model's own. */
  readonly weights: WeightOptions;
  /**
   * Its products in fewer bits, where the precision is fp16.
   *
   * @internal
   */
  readonly quantize?: QuantizeOrder | undefined;
  /** The GPUs the engine is for; as for `buildEngine`. */
  readonly targets?: readonly Target[] | undefined;
  /** Whether to build what overflows fp16 or bf16 on the samples there are, too; default: it is refused. */
  readonly allowOverflow?: boolean | undefined;
}

/** What a build can leave out: engines (ONNX files are all there is then), the comparison, the reference. */
export type BuildPart = "engine" | "check" | "reference";

/** What a build is to make of a subject. */
export interface Order extends Subject {
  /** Output folder; made if it is not there. */
  readonly out: string;
  readonly skip?: readonly BuildPart[] | undefined;
  /** Whether to measure latency. */
  readonly time?: boolean | undefined;
  /** The form of the ONNX files: the standard's operators, which every tool reads, or the CPU's fastest. */
  readonly onnx?: OnnxForm | undefined;
  /** The ONNX operator set, from 17; unless given the lowest, which the oldest tools read. */
  readonly opset?: number | undefined;
  /** The folded network in int8 as well, as one more ONNX file. */
  readonly int8?: Int8Options | undefined;
  readonly tensorrtLib?: string | undefined;
  /** What else the engines are built for. */
  readonly engine?: Pick<EngineOptions, "refit" | "weightStreaming" | "timingCacheFile"> | undefined;
  /** A folder for a model repository of Triton Inference Server with the folded network's engine. */
  readonly triton?: string | undefined;
  /** The command line as it was typed, for the report. */
  readonly command?: string | undefined;
}

/** The precision as people say it: what products are quantized to, where they are. */
export const precisionName = ({ quantize, precision }: Pick<Subject, "quantize" | "precision">): string =>
  quantize?.to ?? precision;

/** How products are quantized, and what that may cost. */
interface Allowed extends CalibrationOptions {
  /** In points of accuracy. */
  readonly maxAccuracyDrop: number;
  /** Of 1, where there are no labels. */
  readonly maxOutputError: number;
}

export interface Int8Options extends Allowed {
  /** The processors it is for; default: `any`. */
  readonly target?: Int8Target | undefined;
  /** The file with sample inputs. */
  readonly calibrate: string | URL;
}

export interface QuantizeOrder extends Allowed {
  readonly to: EngineQuantization;
  /** Which products. */
  readonly placement: Placement;
  /** The file with sample inputs; the model's examples, or invented ones, unless given. */
  readonly calibrate?: string | URL | undefined;
  /** Whether the networks' ONNX files have what the engines have, as Q/DQ. */
  readonly inOnnx: boolean;
}
