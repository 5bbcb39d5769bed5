/**
 * What the values of one input of a product are like, and how it is rounded for that: one step size and the
 * step that is zero, for all its channels.
 */
import { z } from "npm:zod@4.6.7";
import type { InputType, Rounding } from "../../rewrite/backends/quantize.ts";
import type { QuantizedType } from "../../ops/quantize.ts";
import { LARGEST, type Quantizing } from "../../weights/derived/derivation.ts";
import { roundedStep, unitOf } from "../../weights/derived/quantized.ts";
import { Histogram } from "./histogram.ts";
import { type Calibration, threshold } from "./methods.ts";
import { dequantized, type Steps } from "./product.ts";

/** Rows of an input that are kept of each batch, besides those with its extremes. */
const ROWS_KEPT = 8;
const GOLDEN = (Math.sqrt(5) - 1) / 2;
/** Parts of the range that are tried: what lies outside is cut off, so that the rest has finer steps. */
const RANGES = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];

/** What the values of one input are like. */
export class Range {
  /** What is kept of one; numbers come back as they were. */
  static readonly STATE = z.object({
    low: z.number(),
    high: z.number(),
    rows: z.array(z.array(z.number())),
    histogram: Histogram.STATE.optional(),
  });

  low = 0;
  high = 0;
  readonly rows: Float64Array[] = [];
  readonly #roundings = new Map<InputType, Rounding>();
  readonly #histogram = new Histogram();

  constructor(readonly calibration: Calibration) {}

  get state(): z.infer<typeof Range.STATE> {
    return {
      low: this.low,
      high: this.high,
      rows: this.rows.map((row) => [...row]),
      ...(this.calibration.method !== "rows" && { histogram: this.#histogram.state }),
    };
  }

  set state({ low, high, rows, histogram }: z.infer<typeof Range.STATE>) {
    this.low = low;
    this.high = high;
    this.rows.splice(0, Infinity, ...rows.map((row) => Float64Array.from(row)));
    if (histogram !== undefined) this.#histogram.state = histogram;
  }

  /** @param options.keep whether rows are kept of them */
  see(values: Float64Array, { channels, keep }: { readonly channels: number; readonly keep: boolean }): void {
    let [least, most] = [0, 0];
    values.forEach((value, i) => {
      if (!(value >= values[least]!)) least = i;
      if (!(value <= values[most]!)) most = i;
    });
    this.low = Math.min(this.low, values[least]!);
    this.high = Math.max(this.high, values[most]!);
    if (this.calibration.method !== "rows") this.#histogram.see(values);
    if (!keep) return;
    const count = values.length / channels;
    const kept = new Set([least, most].map((i) => Math.floor(i / channels)));
    // Steps of the golden ratio never keep time with the tokens, of which the first are often special.
    for (let i = 0; i < ROWS_KEPT; i++) kept.add(Math.floor((i * GOLDEN % 1) * count));
    for (const row of kept) this.rows.push(values.slice(row * channels, (row + 1) * channels));
  }

  /** Around zero unless the type is unsigned. Steps are rounded as the file has them. */
  rounding(to: InputType, steps: Quantizing["steps"]): Rounding {
    const known = this.#roundings.get(to);
    if (known !== undefined) return known;
    const rounding = to === "fp4"
      ? { to, step: unitOf(Math.max(-this.low, this.high) / LARGEST[to]), zero: 0 }
      : this.calibration.method === "rows"
      ? this.#byRows(to, steps)
      : this.#cut(to, steps);
    this.#roundings.set(to, rounding);
    return rounding;
  }

  /**
   * The range whose rounding and cutting off cost least, in squares, relative to each row: the large values
   * of a few rows, a class token's for instance, are not given up for finer steps elsewhere.
   */
  #byRows(to: QuantizedType, steps: Quantizing["steps"]): Rounding {
    let best: { error: number; rounding: Steps } = { error: Infinity, rounding: { to, step: 1, zero: 0 } };
    for (const part of RANGES) {
      const rounding = roundingOf([part * this.low, part * this.high], to, steps);
      const error = this.rows.reduce((sum, row) => sum + rowError(row, rounding), 0);
      if (error < best.error) best = { error, rounding };
    }
    return best.rounding;
  }

  #cut(to: QuantizedType, steps: Quantizing["steps"]): Rounding {
    const cut = (most: number) =>
      roundingOf([Math.max(-most, this.low), Math.min(most, this.high)], to, steps);
    const whole = cut(Infinity);
    return cut(threshold(this.#histogram, this.calibration, {
      levels: to === "uint8" ? Math.max(whole.zero, 255 - whole.zero) + 1 : LARGEST.int8 + 1,
      // The histogram has magnitudes: those of numbers of the side that reaches further.
      cutAt: (most) => {
        const rounding = cut(most);
        const sign = this.high < -this.low ? -1 : 1;
        return (x) => sign * dequantized(sign * x, rounding);
      },
    }));
  }
}

function roundingOf(
  [low, high]: readonly [low: number, high: number],
  to: QuantizedType,
  steps: Quantizing["steps"],
): Steps {
  if (to !== "uint8") return { to, step: roundedStep(Math.max(-low, high) / LARGEST[to], steps), zero: 0 };
  const step = roundedStep((high - low) / 255, steps);
  return { to, step, zero: Math.max(0, Math.min(255, Math.round(-low / step))) };
}

/** The squared error of a row's rounding over its square. */
function rowError(row: Float64Array, rounding: Steps): number {
  let [wrong, right] = [0, 0];
  for (const x of row) {
    wrong += (dequantized(x, rounding) - x) ** 2;
    right += x * x;
  }
  return right === 0 ? 0 : wrong / right;
}
