/** What a report says of quantized networks: engines', and the one for CPUs. */
import { z } from "npm:zod@4.6.7";
import { ENGINE_QUANTIZATIONS, INT8_TARGETS } from "../ir/dtype.ts";
import { count, family, ms, onnxFile, passes } from "./parts.ts";

/** Products that stayed in float for accuracy's sake, and how far quantizing each alone moves the outputs. */
const inFloat = z.array(z.object({ name: z.string(), error: z.number() })).readonly();

/** How far a quantized network's outputs are from those in float, and whether that was allowed. */
const gate = z.object({
  passed: z.boolean(),
  /** Root mean square of the difference to fp32 over that of the outputs. */
  outputError: z.number(),
  /** In points of accuracy where that is known, else of `outputError`; null where anything is allowed. */
  limit: z.number().nullable(),
  /** Top-1 on the model's labelled data; null without labels, or where the weights were not trained. */
  accuracy: z.object({ fp32: z.number(), quantized: z.number(), examples: count }).nullable(),
});
export type GateReport = z.infer<typeof gate>;

/**
 * How ranges of inputs were found, as `--calibration` has it; absent in reports of before there was a choice.
 */
const calibration = z.string().optional();

/**
 * SmoothQuant's exponent, and the tensors, or streams of tensors, that were scaled; absent where not asked
 * for.
 */
const smoothQuant = z.object({ alpha: z.number(), tensors: count }).optional();

/** Whether biases take the mean errors of products away. */
const biasCorrection = z.boolean().optional();

/** Products of the engines in fewer bits than the rest. */
export const quantization = z.object({
  to: z.enum(ENGINE_QUANTIZATIONS),
  /** Which products were to be: "free", "all", or names. */
  placement: z.string(),
  /** Sample inputs that ranges were taken from, and outputs compared on; null where neither was done. */
  samples: count.nullable(),
  calibration,
  biasCorrection,
  networks: z.partialRecord(
    family,
    z.object({
      /** Products of the network, and how many of them are quantized. */
      products: count,
      quantized: count,
      smoothQuant,
      inFloat,
      /** Emulated on the CPU: quantized values, fp32 arithmetic; null where networks were not run. */
      gate: gate.nullable(),
      passes,
    }),
  ),
});
export type QuantizationReport = z.infer<typeof quantization>;

/** The folded network in 8-bit whole numbers, for CPUs. */
export const int8 = z.object({
  /** The processors it is for; absent in reports of before there was a choice, like `sums`. */
  target: z.enum(INT8_TARGETS).optional(),
  onnx: onnxFile,
  /** Products with constant weights, and how many of them were quantized. */
  products: count,
  quantized: count,
  inFloat,
  /** Sample inputs that ranges were taken from. */
  samples: count,
  calibration,
  smoothQuant,
  biasCorrection,
  /** Products whose sums ONNX Runtime computed here exactly, rows of each, and the largest difference. */
  sums: z.object({ products: count, rows: count, largestDifference: z.number() }).optional(),
  gate: gate.extend({
    limit: z.number(),
    accuracy: z.object({ fp32: z.number(), int8: z.number(), examples: count }).nullable(),
  }),
  /** From the network in fp32 to that; absent in reports of before it was told. */
  passes: passes.optional(),
  /** Time on this machine's CPU over that of the folded network in fp32; null where nothing was timed. */
  latency: z.object({
    backend: z.string(),
    batch: count,
    rounds: count,
    ratio: z.number(),
    ratioLow: z.number(),
    ratioHigh: z.number(),
    medianMs: ms,
  }).nullable(),
});
export type Int8Report = z.infer<typeof int8>;

/** "by mse, SmoothQuant 0.5 of 9 tensors, biases corrected". */
export function calibrationText(
  { calibration, smoothQuant, biasCorrection }: Pick<
    Int8Report,
    "calibration" | "smoothQuant" | "biasCorrection"
  >,
): string {
  const tensors = smoothQuant?.tensors === 1 ? "one tensor" : `${smoothQuant?.tensors} tensors`;
  return [
    ...calibration === undefined ? [] : [`by ${calibration}`],
    ...smoothQuant ? [`SmoothQuant ${smoothQuant.alpha} of ${tensors}`] : [],
    ...biasCorrection ? ["biases corrected"] : [],
  ].join(", ");
}
