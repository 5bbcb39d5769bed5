/**
 * How the inputs of products are rounded to 8 bits, found out by running the network in float on sample
 * inputs. Per input: one step size and the step that is zero, for all its channels; its range by one of
 * several methods (`methods.ts`).
 */
import { UnfoldError } from "../../errors.ts";
import type { Graph, Node } from "../../ir/graph.ts";
import type { Wanted } from "../../rewrite/backends/quantize.ts";
import { biasCorrected } from "./correct.ts";
import { type CalibrationOptions, DEFAULT_CALIBRATION } from "./methods.ts";
import type { CalibratedProduct } from "./product.ts";
import { Range } from "./range.ts";
import { RangeCache } from "./range_cache.ts";
import { watch, watchedGraph, type WatchOptions } from "./watch.ts";

/** Examples of which rows are kept, and all that `rows` looks at: a range settles after few. */
const MOST_EXAMPLES = 128;
/** Of kept ranges: another one where what is seen of samples is. */
const FORM = 1;
/** A run that is killed loses as much. */
const KEPT_EVERY_MS = 5_000;

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
  await look(graph, ranges, { ...options, most: calibration.method === "rows" ? MOST_EXAMPLES : Infinity });
  const calibrated = [...products].map(([node, { x, input, weight, kernels }]) => {
    const range = ranges.get(x)!;
    if (!Number.isFinite(range.low) || !Number.isFinite(range.high)) {
      throw new UnfoldError(
        `${node.name}: its input is not finite on the sample inputs, so it cannot be quantized`,
      );
    }
    const how = { input: input === null ? null : range.rounding(input, weight.steps), weight };
    return { node, x, how, kernels };
  });
  return biasCorrection ? await biasCorrected(graph, calibrated, options) : calibrated;
}

/** Fills ranges, from where a kept file left off. */
async function look(
  graph: Graph,
  ranges: ReadonlyMap<Node, Range>,
  { calibrationCache, ...options }: WatchOptions & Pick<CalibrationOptions, "calibrationCache"> & {
    most: number;
  },
): Promise<void> {
  const all = [...ranges.values()];
  const found = (seen: number) => ({ seen, ranges: all.map(({ state }) => state) });
  const see = (node: Node, values: Float64Array, start: number) => {
    const channels = node.type.shape.at(-1) as number;
    ranges.get(node)!.see(values, { channels, keep: start < MOST_EXAMPLES });
  };
  const watched = { ...options, nodes: ranges.keys() };
  if (calibrationCache === undefined) return await watch(graph, watched, see);
  const cache = await RangeCache.of(calibrationCache, {
    model: await options.onnx(watchedGraph(graph, ranges.keys())),
    examples: options.examples,
    how: [FORM, options.batch, all[0]!.calibration.method === "rows" ? "rows" : "histogram"],
  });
  const known = await cache.read(all.length);
  all.forEach((range, i) => known && (range.state = known.ranges[i]!));
  // The first batch is written at once, so that a folder that takes nothing is told of then.
  let [seen, written] = [known?.seen ?? 0, -Infinity];
  try {
    await watch(graph, {
      ...watched,
      from: seen,
      onBatch: async (end) => {
        seen = end;
        if (performance.now() - written < KEPT_EVERY_MS) return;
        await cache.write(found(seen));
        written = performance.now();
      },
    }, see);
  } finally {
    if (seen > (known?.seen ?? 0)) await cache.write(found(seen));
  }
}
