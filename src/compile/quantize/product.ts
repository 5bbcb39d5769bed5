/** A product with the way it is quantized, and the numbers that come of it. */
import type { Node } from "../../ir/graph.ts";
import { quantized } from "../../ops/quantize.ts";
import type { QuantizedProduct, Rounding } from "../../rewrite/backends/quantize.ts";

/** A product and how it would be quantized. */
export interface CalibratedProduct {
  readonly node: Node;
  readonly how: QuantizedProduct;
  /** `|y' - y| / |y|` over a few rows of its result y, rounding its input and its weight alone. */
  error(): number;
}

/** What a number is after it was rounded. */
export const dequantized = (x: number, rounding: Rounding) =>
  (quantized(x / rounding.step, rounding) - rounding.zero) * rounding.step;
