/**
 * How the inputs of products are rounded to 8 bits, found out by running the network in float on sample
 * inputs, and what that costs each product by itself. Per input: one step size and the step that is zero, for
 * all its channels.
 */
import { UnfoldError } from "../errors.ts";
import { bytesAs, float64Of, numbersFromBytes } from "../ir/data.ts";
import type { Int8Target } from "../ir/dtype.ts";
import type { Graph, Node } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import { quantized } from "../ops/quantize.ts";
import type { QuantizedLinearAttrs } from "../ops/quantized_linear.ts";
import { quantizable, quantizedWeight } from "../rewrite/backends/quantize.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { numbersOf } from "../run/session.ts";
import { feeder } from "./evaluate.ts";
import type { Examples } from "./examples.ts";

/** A product and how it would be quantized. */
export interface CalibratedLinear {
  readonly node: Node;
  readonly attrs: QuantizedLinearAttrs;
  /** `|y' - y| / |y|` over a few rows of its result y, rounding its input and its weight alone. */
  readonly error: number;
}

/** Examples that are looked at: a range settles after few. */
const MOST_EXAMPLES = 128;
/** Rows of an input that are kept of each batch, besides those with its extremes. */
const ROWS_KEPT = 8;
/** Rows that a product's own error is taken over. */
const ROWS_MULTIPLIED = 16;
const GOLDEN = (Math.sqrt(5) - 1) / 2;
/** Parts of the range that are tried: what lies outside is cut off, so that the rest has finer steps. */
const RANGES = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];

/**
 * @param graph in the form in which it is quantized
 * @param options.onnx writes a graph where a session can open it
 * @throws {UnfoldError} the network has no product with constant weights, or its values are not finite
 */
export async function calibrate(
  graph: Graph,
  { target, examples, batch, onnx, signal }: {
    target: Int8Target;
    examples: Examples;
    batch: number;
    onnx: (graph: Graph) => Promise<string>;
    signal?: AbortSignal | undefined;
  },
): Promise<readonly CalibratedLinear[]> {
  const products = quantizable(graph);
  if (products.length === 0) {
    throw new UnfoldError(`${graph.name}: no product with constant weights, nothing to quantize`);
  }
  const seen = new Map([...new Set(products.map(({ inputs }) => inputs[0]!))].map((node, i) => [
    node,
    { name: `input.${i}`, range: new Range() },
  ]));
  const outputs = [...seen].map(([node, { name }]) => ({ name, node }));
  await using session = await sessionFromOnnx(await onnx({ ...graph, outputs }));
  const feeds = feeder(session, examples, batch);
  for (let start = 0; start < Math.min(examples.count, MOST_EXAMPLES); start += batch) {
    signal?.throwIfAborted();
    const values = await session.run(feeds(start));
    for (const [node, { name, range }] of seen) {
      range.see(numbersOf(values[name]!), node.type.shape.at(-1) as number);
    }
  }
  return products.map((node) => {
    const { range } = seen.get(node.inputs[0]!)!;
    if (!Number.isFinite(range.low) || !Number.isFinite(range.high)) {
      throw new UnfoldError(
        `${node.name}: its input is not finite on the sample inputs, so it cannot be quantized`,
      );
    }
    const attrs = range.attrs;
    return { node, attrs, error: ownError(node, attrs, { rows: range.rows, target }) };
  });
}

/** What the values of one input are like. */
class Range {
  low = 0;
  high = 0;
  readonly rows: Float64Array[] = [];
  #attrs: QuantizedLinearAttrs | undefined;

  see(values: Float64Array, channels: number): void {
    let [least, most] = [0, 0];
    values.forEach((value, i) => {
      if (!(value >= values[least]!)) least = i;
      if (!(value <= values[most]!)) most = i;
    });
    this.low = Math.min(this.low, values[least]!);
    this.high = Math.max(this.high, values[most]!);
    const count = values.length / channels;
    const kept = new Set([least, most].map((i) => Math.floor(i / channels)));
    // Steps of the golden ratio never keep time with the tokens, of which the first are often special.
    for (let i = 0; i < ROWS_KEPT; i++) kept.add(Math.floor((i * GOLDEN % 1) * count));
    for (const row of kept) this.rows.push(values.slice(row * channels, (row + 1) * channels));
  }

  /**
   * The range whose rounding and cutting off cost least, in squares, relative to each row: the large values
   * of a few rows, a class token's for instance, are not given up for finer steps elsewhere.
   */
  get attrs(): QuantizedLinearAttrs {
    if (this.#attrs !== undefined) return this.#attrs;
    let best = { error: Infinity, attrs: { step: 1, zero: 0 } };
    for (const part of RANGES) {
      const [low, high] = [part * this.low, part * this.high];
      // The step is rounded as the file has it.
      const step = Math.fround((high - low) / 255) || 1;
      const attrs = { step, zero: Math.max(0, Math.min(255, Math.round(-low / step))) };
      const error = this.rows.reduce((sum, row) => sum + rowError(row, attrs), 0);
      if (error < best.error) best = { error, attrs };
    }
    return this.#attrs = best.attrs;
  }
}

/** The squared error of a row's rounding over its square. */
function rowError(row: Float64Array, attrs: QuantizedLinearAttrs): number {
  let [wrong, right] = [0, 0];
  for (const x of row) {
    wrong += (dequantized(x, attrs) - x) ** 2;
    right += x * x;
  }
  return right === 0 ? 0 : wrong / right;
}

const dequantized = (x: number, attrs: QuantizedLinearAttrs) =>
  (quantized(x / attrs.step, { to: "uint8", zero: attrs.zero }) - attrs.zero) * attrs.step;

function ownError(
  node: Node,
  attrs: QuantizedLinearAttrs,
  { rows, target }: { rows: readonly Float64Array[]; target: Int8Target },
): number {
  const weight = dataOf(node.inputs[1]!);
  const { whole, scale } = quantizedWeight(weight, target);
  const exact = numbersFromBytes(bytesAs(weight, "fp32"), "fp32");
  const rounded = numbersFromBytes(whole.bytes(), whole.dtype);
  const scales = float64Of(scale);
  const [outputs, channels] = weight.shape as [number, number];
  let [wrong, right] = [0, 0];
  const every = Math.ceil(rows.length / ROWS_MULTIPLIED);
  for (const row of rows.filter((_, i) => i % every === 0)) {
    const steps = row.map((x) => dequantized(x, attrs));
    for (let o = 0, i = 0; o < outputs; o++) {
      let [y, q] = [0, 0];
      for (let c = 0; c < channels; c++, i++) {
        y += row[c]! * exact[i]!;
        q += steps[c]! * rounded[i]!;
      }
      wrong += (q * scales[o]! - y) ** 2;
      right += y * y;
    }
  }
  return right === 0 ? 0 : Math.sqrt(wrong / right);
}
