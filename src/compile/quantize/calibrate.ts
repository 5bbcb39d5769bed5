/**
 * How the inputs of products are rounded to 8 bits, found out by running the network in float on sample
 * inputs, and what that costs each product by itself. Per input: one step size and the step that is zero, for
 * all its channels; its range by one of several methods (`methods.ts`).
 */
import { UnfoldError } from "../../errors.ts";
import type { Graph, Node } from "../../ir/graph.ts";
import type { QuantizedType } from "../../ops/quantize.ts";
import type { InputType, QuantizedProduct, Rounding, Wanted } from "../../rewrite/backends/quantize.ts";
import { LARGEST, type Quantizing } from "../../weights/derived/derivation.ts";
import { roundedStep, unitOf } from "../../weights/derived/quantized.ts";
import { biasCorrected } from "./correct.ts";
import { Histogram } from "./histogram.ts";
import { type Calibration, type CalibrationOptions, DEFAULT_CALIBRATION, threshold } from "./methods.ts";
import { type CalibratedProduct, dequantized, roundedInput, roundedWeight, type Steps } from "./product.ts";
import { watch, type WatchOptions } from "./watch.ts";

/** Examples of which rows are kept, and all that `rows` looks at: a range settles after few. */
const MOST_EXAMPLES = 128;
/** Rows of an input that are kept of each batch, besides those with its extremes. */
const ROWS_KEPT = 8;
/** Rows that a product's own error is taken over. */
const ROWS_MULTIPLIED = 16;
const GOLDEN = (Math.sqrt(5) - 1) / 2;
/** Parts of the range that are tried: what lies outside is cut off, so that the rest has finer steps. */
const RANGES = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];

/**
 * @param graph which is run, and has the input of each product
 * @param products with what is wanted of them, and their inputs in `graph`
 * @param options.onnx writes a graph where a session can open it
 * @throws {UnfoldError} no product, or values that are not finite
 */
export async function calibrate(
  graph: Graph,
  products: ReadonlyMap<Node, Wanted & { readonly x: Node }>,
  { calibration = DEFAULT_CALIBRATION, biasCorrection = false, ...options }:
    & Omit<CalibrationOptions, "smoothQuant">
    & WatchOptions,
): Promise<readonly CalibratedProduct[]> {
  if (products.size === 0) {
    throw new UnfoldError(`${graph.name}: no product with constant weights, nothing to quantize`);
  }
  const ranges = new Map([...products.values()].map(({ x }) => [x, new Range(calibration)]));
  const most = calibration.method === "rows" ? MOST_EXAMPLES : Infinity;
  await watch(graph, { ...options, nodes: ranges.keys(), most }, (node, values, start) => {
    const channels = node.type.shape.at(-1) as number;
    ranges.get(node)!.see(values, { channels, keep: start < MOST_EXAMPLES });
  });
  const calibrated = [...products].map(([node, { x, input, weight }]) => {
    const range = ranges.get(x)!;
    if (!Number.isFinite(range.low) || !Number.isFinite(range.high)) {
      throw new UnfoldError(
        `${node.name}: its input is not finite on the sample inputs, so it cannot be quantized`,
      );
    }
    const how = { input: input === null ? null : range.rounding(input, weight.steps), weight };
    return { node, x, how, error: () => ownError(node, how, range.rows) };
  });
  return biasCorrection ? await biasCorrected(graph, calibrated, options) : calibrated;
}

/** What the values of one input are like. */
class Range {
  low = 0;
  high = 0;
  readonly rows: Float64Array[] = [];
  readonly #roundings = new Map<InputType, Rounding>();
  readonly #histogram = new Histogram();

  constructor(readonly calibration: Calibration) {}

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

function ownError(node: Node, how: QuantizedProduct, rows: readonly Float64Array[]): number {
  const { exact, rounded, outputs } = roundedWeight(node, how);
  const { input } = how;
  let [wrong, right] = [0, 0];
  const every = Math.ceil(rows.length / ROWS_MULTIPLIED);
  for (const row of rows.filter((_, i) => i % every === 0)) {
    const steps = input === null ? row : roundedInput(row, input);
    for (let o = 0, i = 0; o < outputs; o++) {
      let [y, q] = [0, 0];
      for (let c = 0; c < row.length; c++, i++) {
        y += row[c]! * exact[i]!;
        q += steps[c]! * rounded[i]!;
      }
      wrong += (q - y) ** 2;
      right += y * y;
    }
  }
  return right === 0 ? 0 : Math.sqrt(wrong / right);
}
