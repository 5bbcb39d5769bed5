/**
 * SmoothQuant (Xiao et al. 2023, equation 4): large channels of an activation are made smaller, and the
 * weights that read them larger, so that both lose little when they are rounded,
 *
 *     s_j = max |X_j|^alpha / max |W_j|^(1 - alpha)
 *
 * with the largest over all inputs and all weights of the products that read channel j. Where s goes is told
 * by `src/rewrite/channels/exchange_scales.ts`; what an activation or attention stands behind is left alone.
 */
import { bytesAs, numbersFromBytes } from "../../ir/data.ts";
import type { Graph, Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import type { Joined } from "../../ops/define.ts";
import { widen } from "../../rewrite/backends/widen.ts";
import { exchangeable, exchangeScales } from "../../rewrite/channels/exchange_scales.ts";
import type { Int8Report } from "../../report/report.ts";
import type { CalibrationOptions } from "./methods.ts";
import { watch, type WatchOptions } from "./watch.ts";

/**
 * @param graph optimized, not yet lowered
 * @returns the graph, of as many operators; the same where it is not asked for
 */
export async function smoothed(
  graph: Graph,
  { smoothQuant: alpha, ...options }: WatchOptions & Pick<CalibrationOptions, "smoothQuant">,
): Promise<{ readonly graph: Graph; readonly report: Pick<Int8Report, "smoothQuant"> }> {
  if (alpha === undefined) return { graph, report: {} };
  const streams = exchangeable(graph);
  const report = { smoothQuant: { alpha, tensors: streams.length } };
  if (streams.length === 0) return { graph, report };
  const { graph: wide, origins } = widen(graph);
  const widened = new Map([...origins].map(([wide, narrow]) => [narrow, wide]));
  const found = streams.map((stream) => ({ stream, inputs: new Float64Array(stream.channels) }));
  const watched = new Map<Node, { largest: Float64Array; joined: Joined }>();
  for (const { stream, inputs: largest } of found) {
    for (const [{ inputs: [x] }, joined] of stream.readers) {
      watched.set(widened.get(x!)!, { largest, joined });
    }
  }
  await watch(wide, { ...options, nodes: watched.keys() }, (node, values) => {
    const { largest, joined } = watched.get(node)!;
    widenBy(largest, values, { width: node.type.shape.at(-1) as number, joined });
  });
  const scales = found.map(({ stream, inputs }) => {
    const weights = new Float64Array(stream.channels);
    for (const [product, joined] of stream.readers) {
      const data = dataOf(product.inputs[1]!);
      const values = numbersFromBytes(bytesAs(data, "fp32"), "fp32");
      widenBy(weights, values, { width: data.shape[1]!, joined });
    }
    const scale = inputs.map((x, j) => x ** alpha / weights[j]! ** (1 - alpha));
    // A channel that is never anything, or that nothing reads, stays.
    return [stream, scale.map((s) => s > 0 && s < Infinity ? s : 1)] as const;
  });
  return { graph: exchangeScales(graph, new Map(scales)), report };
}

/** Largest magnitudes by channel, of rows that each have every channel `inner` times in a row. */
function widenBy(
  largest: Float64Array,
  values: ArrayLike<number>,
  { width, joined: { inner } }: { readonly width: number; readonly joined: Joined },
): void {
  for (let i = 0; i < values.length; i++) {
    const channel = Math.floor(i % width / inner) % largest.length;
    largest[channel] = Math.max(largest[channel]!, Math.abs(values[i]!));
  }
}
