/** The options for a network's number type, what quantizing needs too, and for the form of its ONNX files. */
import type { Int8Options, QuantizeOrder } from "../compile/order.ts";
import { type CalibrationOptions, parseCalibration } from "../compile/quantize/methods.ts";
import { parseOpset } from "../emit/opset.ts";
import { FP4_TARGETS, FP8_TARGETS, parseTargets, type Target, TARGETS } from "../emit/targets.ts";
import {
  ENGINE_PRECISIONS,
  ENGINE_QUANTIZATIONS,
  type EnginePrecision,
  type EngineQuantization,
  INT8_TARGETS,
  type Int8Target,
  isNarrow,
  networkPrecision,
} from "../ir/dtype.ts";
import { ONNX_FORMS, type OnnxForm } from "../rewrite/backends/onnx_form_names.ts";
import type { Placement } from "../rewrite/backends/tensorrt_quantized.ts";
import { asUsage, oneOf } from "./options.ts";
import { UsageError } from "./terminal.ts";

/** How products of engines are quantized, for `parseOptions`. */
export const QUANTIZE_OPTIONS = {
  quantize: { type: "string" },
  calibrate: { type: "string", file: "read" },
  calibration: { type: "string" },
  "smooth-quant": { type: "string" },
  "calibration-cache": { type: "string" },
  "bias-correction": { type: "boolean" },
  "max-accuracy-drop": { type: "string" },
  "max-output-error": { type: "string" },
} as const;

export const PRECISION_OPTIONS = {
  precision: { type: "string", default: "fp32" },
  ...QUANTIZE_OPTIONS,
  "int8-for": { type: "string" },
  onnx: { type: "string", default: "standard" },
  opset: { type: "string" },
} as const;

/** What they mean, for `--help`. */
export const QUANTIZE_HELP =
  `  --quantize WHICH      which products engines have so: free, those that cost no kernel in fp8 for 8.9 and one a block
                        elsewhere (the default for int8 and fp8); all (for int4w and nvfp4); or by name: '*.fc1,*.fc2'
  --calibrate FILE      for int8, fp8 and nvfp4: sample inputs, a safetensors file whose tensors are called as the model's
                        inputs
  --calibration HOW     where the range of an input is cut off, for int8 and fp8: rows (default), for the least error
                        relative to each row of 128 samples; or, by a histogram of all samples, mse, percentile:99.99,
                        entropy (int8 alone) or max, nowhere
  --calibration-cache DIR
                        a folder for the ranges: the same network, weights, samples and batch are not run again, and a run
                        that was ended goes on
  --smooth-quant ALPHA  SmoothQuant, 0 to 1 (0.5 is usual): how much of an input's large channels weights take over. It
                        goes into what makes the input, a folded network's residual stream or LN's gain: no kernel
  --bias-correction     biases take the mean error away that quantizing makes on the sample inputs
  --max-accuracy-drop N for int8, fp8, nvfp4 and int4w: points of accuracy on the model's labelled data it may cost;
                        0.5 unless given
  --max-output-error N  the same without labelled data: how far outputs may move, of 1; 0.1 unless given`;

export const PRECISION_HELP =
  `  --precision TYPE      fp32 (default), fp16 or bf16; tf32: fp32 whose products an engine computes in TF32. int8,
                        fp8, nvfp4, int4w: engines in fp16 with products in 8 bits or 4, or with weights of 4; fp8 is
                        for compute capability 8.9 and later, nvfp4 for 12. int8 also makes one more ONNX file, for CPUs
                        (with --no-engine that alone, beside one in fp32)
${QUANTIZE_HELP}
  --int8-for WHAT       of the file for CPUs: any (default): the same whole numbers on every processor; vnni: weights in
                        finer steps, wrong on x86-64 without VNNI or AMX; the build fails on such a one
  --onnx FORM           of the ONNX files: standard (default), for any tool; onnxruntime or openvino, as
                        these run it fastest on a CPU; tensorrt: what engines are built of, in the standard's operators,
                        so that trtexec or Triton make as many kernels of it; qdq: that of int8, fp8 and int4w, with
                        QuantizeLinear and DequantizeLinear
  --opset N             the version of the standard's operators in them: 17 (default; ONNX Runtime from 1.12 on) to 23;
                        fp8 needs 19, int4w 21, and has them unless given; onnxruntime's form has 22 at least where
                        versions before 1.20 would compute something else`;

const LIMIT_FLAGS = ["max-accuracy-drop", "max-output-error"] as const;
const METHOD_FLAGS = ["calibration", "calibration-cache", "smooth-quant"] as const;
const QUANTIZE_FLAGS = ["quantize", "calibrate", ...METHOD_FLAGS, ...LIMIT_FLAGS] as const;

type QuantizeValues =
  & { readonly [flag in (typeof QUANTIZE_FLAGS)[number] | "int8-for"]?: string | undefined }
  & { readonly "bias-correction"?: boolean | undefined };

type Values = QuantizeValues & {
  readonly precision: string;
  readonly onnx: string;
  readonly opset?: string | undefined;
};

/**
 * @param options.engines whether there will be any
 * @throws {UsageError} values that are none, or do not go together
 */
export function precisionOf(values: Values, { engines }: { readonly engines: boolean }): {
  readonly precision: EnginePrecision;
  readonly onnx: OnnxForm;
  readonly opset: number | undefined;
  readonly int8: Int8Options | undefined;
  readonly quantize: QuantizeOrder | undefined;
} {
  const asked = oneOf("precision", values.precision, [...ENGINE_PRECISIONS, ...ENGINE_QUANTIZATIONS]);
  const form = oneOf("onnx", values.onnx, [...ONNX_FORMS, "qdq"]);
  const to = ENGINE_QUANTIZATIONS.find((to) => to === asked);
  const precision = to === undefined ? asked as EnginePrecision : to === "int8" && !engines ? "fp32" : "fp16";
  if (form === "onnxruntime" && networkPrecision(precision) !== "fp32") {
    throw new UsageError(
      `--onnx onnxruntime: ONNX Runtime's own operators compute in fp32 on a CPU; leave out --precision ${asked}`,
    );
  }
  const opset = values.opset === undefined ? undefined : asUsage(() => parseOpset(values.opset!));
  const ofEngines = form === "qdq" || form === "tensorrt";
  const isEngines = to !== undefined && (engines || ofEngines || to !== "int8");
  if (ofEngines && to === "nvfp4") {
    throw new UsageError(
      `--onnx ${form}: ONNX has no operator that finds scales of nvfp4 at run time; leave it out`,
    );
  }
  if (form === "qdq" && to === undefined) {
    throw new UsageError(`--onnx qdq: this is for --precision ${ENGINE_QUANTIZATIONS.join(", ")}`);
  }
  const order = quantizeOf(asked, values);
  if (order !== undefined && to !== "int4w" && values.calibrate === undefined) {
    throw new UsageError(
      `--precision ${asked}: give sample inputs with --calibrate FILE, a safetensors file whose tensors are called as ` +
        "the model's inputs",
    );
  }
  return {
    precision: isEngines ? "fp16" : precision,
    // What engines have in fewer bits was lowered for them before it was quantized.
    onnx: form === "qdq" || form === "tensorrt" && isEngines ? "standard" : form,
    opset,
    int8: to === "int8"
      ? { ...allowedOf(values, to), calibrate: values.calibrate!, target: int8ForOf([asked], values) }
      : undefined,
    quantize: isEngines ? { ...order!, inOnnx: ofEngines } : undefined,
  };
}

/**
 * How engines of a precision are quantized, undefined where they are not.
 *
 * @throws {UsageError} values that are none, or that the precision has no use for
 */
export function quantizeOf(precision: string, values: QuantizeValues): QuantizeOrder | undefined {
  int8ForOf([precision], values);
  const to = ENGINE_QUANTIZATIONS.find((to) => to === precision);
  if (to === undefined) {
    const given = [...QUANTIZE_FLAGS, "bias-correction" as const].find((flag) => values[flag] !== undefined);
    if (given === undefined) return undefined;
    throw new UsageError(`--${given}: this is for --precision ${ENGINE_QUANTIZATIONS.join(", ")}`);
  }
  return {
    ...allowedOf(values, to),
    to,
    placement: placementOf(values.quantize, to),
    calibrate: values.calibrate,
    inOnnx: false,
  };
}

/** The processors that int8 is for, of precisions among which it is to be where they are given. */
export function int8ForOf(precisions: readonly string[], { "int8-for": given }: QuantizeValues): Int8Target {
  if (given !== undefined && !precisions.includes("int8")) {
    throw new UsageError("--int8-for: this is for --precision int8");
  }
  return oneOf("int8-for", given ?? "any", INT8_TARGETS);
}

/** How ranges are found, and what quantizing may cost. */
const allowedOf = (values: QuantizeValues, to: EngineQuantization) => ({
  ...limitsOf(values),
  ...calibrationOf(values, to),
});

function calibrationOf(values: QuantizeValues, to: EngineQuantization): CalibrationOptions {
  const biasCorrection = values["bias-correction"];
  const given = [...METHOD_FLAGS, "bias-correction" as const].find((flag) => values[flag] !== undefined);
  if (to === "int4w" && given !== undefined) {
    throw new UsageError(`--${given}: int4w quantizes weights alone; leave it out`);
  }
  if (to === "nvfp4" && values.calibration !== undefined) {
    throw new UsageError("--calibration: nvfp4 finds the range of each 16 numbers at run time; leave it out");
  }
  const { calibration, "smooth-quant": alpha } = values;
  const chosen = calibration === undefined ? undefined : asUsage(() => parseCalibration(calibration));
  if (chosen?.method === "entropy" && to === "fp8") {
    throw new UsageError("--calibration entropy: this is for --precision int8, whose steps are all the same");
  }
  const smoothQuant = alpha === undefined ? undefined : Number(alpha);
  if (alpha?.trim() === "" || (smoothQuant !== undefined && !(smoothQuant >= 0 && smoothQuant <= 1))) {
    throw new UsageError(`--smooth-quant ${alpha}: give a number from 0 to 1, such as 0.5`);
  }
  return { calibration: chosen, calibrationCache: values["calibration-cache"], smoothQuant, biasCorrection };
}

function limitsOf(values: QuantizeValues) {
  const number = (flag: (typeof LIMIT_FLAGS)[number], fallback: number, most: number) => {
    const value = Number(values[flag] ?? fallback);
    if (!(value >= 0 && value <= most)) {
      throw new UsageError(`--${flag} ${values[flag]}: give a number from 0 to ${most}`);
    }
    return value;
  };
  return {
    maxAccuracyDrop: number("max-accuracy-drop", 0.5, 100),
    maxOutputError: number("max-output-error", 0.1, 1),
  };
}

function placementOf(text: string | undefined, to: EngineQuantization): Placement {
  if (text === undefined) return to === "int4w" || to === "nvfp4" ? "all" : "free";
  if (text === "free" || text === "all") return text;
  return text.split(",").map((pattern) => pattern.trim());
}

/**
 * `--target`: the GPUs that engines are for; undefined where it is not given.
 *
 * @throws {UsageError} a GPU that TensorRT for RTX does not build for, Turing in another type than fp16, no
 *   engine
 */
export function targetsOf(
  text: string | undefined,
  { precision, engines }: { readonly precision: string; readonly engines: boolean },
): readonly Target[] | undefined {
  if (text === undefined) return undefined;
  if (!engines) throw new UsageError("--target: this is for engines; leave out --no-engine");
  const targets = asUsage(() => parseTargets(text));
  const able = precision === "nvfp4" ? FP4_TARGETS : precision === "fp8" ? FP8_TARGETS : TARGETS;
  const tooOld = targets.filter((target) => !able.includes(target));
  if (tooOld.length > 0) {
    throw new UsageError(
      `--target ${text}: ${precision} needs compute capability ${able[0]} or later, which ${
        tooOld.join(" and ")
      } ${tooOld.length > 1 ? "are" : "is"} not; ` +
        `give --target ${able.join(",")} or some of them, or --precision int8`,
    );
  }
  if (targets.includes("7.5") && precision !== "fp16") {
    throw new UsageError(
      `--target ${text}: for Turing (7.5) TensorRT for RTX builds products in fp16 alone; add --precision fp16`,
    );
  }
  return targets;
}

/** `--allow-overflow`, which only what can overflow has a use for. */
export function allowOverflowOf(given: boolean, precision: EnginePrecision): boolean {
  if (given && !isNarrow(precision)) {
    throw new UsageError("--allow-overflow: this is for --precision fp16 and bf16");
  }
  return given;
}
