/** The options for a network's number type, int8's included, and for the form of its ONNX files. */
import type { Int8Options } from "../compile/order.ts";
import { parseOpset } from "../emit/opset.ts";
import { parseTargets, type Target } from "../emit/targets.ts";
import {
  ENGINE_PRECISIONS,
  type EnginePrecision,
  INT8_TARGETS,
  isNarrow,
  networkPrecision,
} from "../ir/dtype.ts";
import { ONNX_FORMS, type OnnxForm } from "../rewrite/backends/onnx_forms.ts";
import { asUsage, oneOf } from "./options.ts";
import { UsageError } from "./terminal.ts";

export const PRECISION_OPTIONS = {
  precision: { type: "string", default: "fp32" },
  calibrate: { type: "string" },
  "int8-for": { type: "string" },
  "max-accuracy-drop": { type: "string" },
  "max-output-error": { type: "string" },
  onnx: { type: "string", default: "standard" },
  opset: { type: "string" },
} as const;

/** What they mean, for `--help`. */
export const PRECISION_HELP =
  `  --precision TYPE      fp32 (default), fp16 or bf16; tf32: fp32 whose products an engine computes in TF32; int8 for
                        CPUs, as one more ONNX file beside those of fp32
  --calibrate FILE      for int8: sample inputs, a safetensors file whose tensors are called as the model's inputs
  --int8-for WHAT       any (default): the same whole numbers on every processor; vnni: weights in finer steps, wrong
                        on x86-64 without VNNI or AMX; the build fails on such a one
  --max-accuracy-drop N for int8: points of accuracy on the model's labelled data it may cost; 0.5 unless given
  --max-output-error N  for int8 without labelled data: how far outputs may move, of 1; 0.1 unless given
  --onnx FORM           of the ONNX files: standard (default), for any tool; onnxruntime or openvino, as
                        these run it fastest on a CPU
  --opset N             the version of the standard's operators in them: 17 (default; ONNX Runtime from 1.12 on) to 23;
                        onnxruntime's form has 22 at least where versions before 1.20 would compute something else`;

const INT8_FLAGS = ["calibrate", "int8-for", "max-accuracy-drop", "max-output-error"] as const;

type Values =
  & { readonly precision: string; readonly onnx: string; readonly opset?: string | undefined }
  & { readonly [flag in (typeof INT8_FLAGS)[number]]?: string | undefined };

/** @throws {UsageError} values that are none, or do not go together */
export function precisionOf(values: Values): {
  readonly precision: EnginePrecision;
  readonly onnx: OnnxForm;
  readonly opset: number | undefined;
  readonly int8: Int8Options | undefined;
} {
  const asked = oneOf("precision", values.precision, [...ENGINE_PRECISIONS, "int8"]);
  const onnx = oneOf("onnx", values.onnx, ONNX_FORMS);
  const precision = asked === "int8" ? "fp32" : asked;
  if (onnx === "onnxruntime" && networkPrecision(precision) !== "fp32") {
    throw new UsageError(
      `--onnx onnxruntime: ONNX Runtime's own operators compute in fp32 on a CPU; leave out --precision ${asked}`,
    );
  }
  const opset = values.opset === undefined ? undefined : asUsage(() => parseOpset(values.opset!));
  return { precision, onnx, opset, int8: int8Of(asked, values) };
}

/** What int8 needs, and nothing else may be given. */
function int8Of(precision: string, values: Values): Int8Options | undefined {
  if (precision !== "int8") {
    const given = INT8_FLAGS.find((flag) => values[flag] !== undefined);
    if (given !== undefined) throw new UsageError(`--${given}: this is for --precision int8`);
    return undefined;
  }
  const { calibrate } = values;
  if (calibrate === undefined) {
    throw new UsageError(
      "--precision int8: give sample inputs with --calibrate FILE, a safetensors file whose tensors are called as the " +
        "model's inputs",
    );
  }
  const number = (flag: "max-accuracy-drop" | "max-output-error", fallback: number, most: number) => {
    const value = Number(values[flag] ?? fallback);
    if (!(value >= 0 && value <= most)) {
      throw new UsageError(`--${flag} ${values[flag]}: give a number from 0 to ${most}`);
    }
    return value;
  };
  return {
    target: oneOf("int8-for", values["int8-for"] ?? "any", INT8_TARGETS),
    calibrate,
    maxAccuracyDrop: number("max-accuracy-drop", 0.5, 100),
    maxOutputError: number("max-output-error", 0.1, 1),
  };
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
