/** A product with the way it is quantized, and the numbers that come of it. */
import { bytesAs, float64Of, numbersFromBytes } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import { throughBlocks } from "../../ops/dynamic_quantize.ts";
import { type QuantizeAttrs, quantized } from "../../ops/quantize.ts";
import type { QuantizedProduct, Rounding } from "../../rewrite/backends/quantize.ts";
import { quantizedData } from "../../weights/derived/derive.ts";

/** A product and how it would be quantized. */
export interface CalibratedProduct {
  readonly node: Node;
  readonly how: QuantizedProduct;
  /** As of `Wanted`. */
  readonly kernels: number;
}

/** A product's weight `[outputs, channels]`, row by row, and what it is after it was rounded. */
export function roundedWeight(node: Node, { weight: how }: QuantizedProduct) {
  const weight = dataOf(node.inputs[1]!);
  const { values, scale, unit } = quantizedData(weight, how);
  const whole = unit === null ? 1 : float64Of(unit)[0]!;
  const exact = numbersFromBytes(bytesAs(weight, "fp32"), "fp32");
  const scales = float64Of(scale);
  const together = exact.length / scales.length;
  const steps = numbersFromBytes(values.bytes(), values.dtype);
  const rounded = Float64Array.from(steps, (step, i) => step * whole * scales[Math.floor(i / together)]!);
  return { exact, rounded, outputs: weight.shape[0]! };
}

/** Of single numbers. */
export type Steps = Rounding & QuantizeAttrs;

/** What a number is after it was rounded. */
export const dequantized = (x: number, rounding: Steps) =>
  (quantized(x / rounding.step, rounding) - rounding.zero) * rounding.step;

/** What rows of an input are after they were rounded. */
export function roundedInput(values: Float64Array, rounding: Rounding): Float64Array {
  const { to, step } = rounding;
  return to === "fp4" ? throughBlocks(values, step) : values.map((x) => dequantized(x, { ...rounding, to }));
}
