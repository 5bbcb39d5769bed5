/**
 * Bias correction (Nagel et al. 2019, section 4.2): the mean error that quantizing makes in each output of a
 * product, over the sample inputs as the network in float has them, is taken from its bias,
 *
 *     b' = b - E[W' x' - W x] = b - (W' E[x'] - W E[x])
 *
 * with x' and W' rounded. Only means of each channel are kept, so any number of samples will do.
 */
import type { Graph, Node } from "../../ir/graph.ts";
import type { QuantizedProduct } from "../../rewrite/backends/quantize.ts";
import { type CalibratedProduct, roundedInput, roundedWeight } from "./product.ts";
import { watch, type WatchOptions } from "./watch.ts";

/** Products with a bias that takes their mean error away; one without a bias stays, since a bias costs. */
export async function biasCorrected(
  graph: Graph,
  products: readonly (CalibratedProduct & { readonly x: Node })[],
  options: WatchOptions,
): Promise<readonly CalibratedProduct[]> {
  const corrected = products.filter(({ node }) => node.inputs.length > 2);
  const means = new Map(corrected.map(({ node, x }) => {
    const channels = x.type.shape.at(-1) as number;
    return [node, { exact: new Float64Array(channels), rounded: new Float64Array(channels), rows: 0 }];
  }));
  const nodes = new Set(corrected.map(({ x }) => x));
  if (nodes.size > 0) {
    await watch(graph, { ...options, nodes }, (seen, values) => {
      for (const { node, x, how: { input } } of corrected) {
        if (x !== seen) continue;
        const mean = means.get(node)!;
        const channels = mean.exact.length;
        const rounded = input === null ? values : roundedInput(values, input);
        values.forEach((value, i) => {
          mean.exact[i % channels]! += value;
          mean.rounded[i % channels]! += rounded[i]!;
        });
        mean.rows += values.length / channels;
      }
    });
  }
  return products.map((product) => {
    const mean = means.get(product.node);
    if (mean === undefined) return product;
    const { exact, rounded, rows } = mean;
    const shift = meanError(product.node, product.how, {
      exact: exact.map((sum) => sum / rows),
      rounded: rounded.map((sum) => sum / rows),
    }).map((error) => -error);
    return { ...product, how: { ...product.how, shift } };
  });
}

/** `W' E[x'] - W E[x]`, of each output. */
function meanError(
  node: Node,
  how: QuantizedProduct,
  { exact, rounded }: { readonly exact: Float64Array; readonly rounded: Float64Array },
): Float64Array {
  const weight = roundedWeight(node, how);
  const errors = new Float64Array(weight.outputs);
  for (let o = 0, i = 0; o < errors.length; o++) {
    for (let c = 0; c < exact.length; c++, i++) {
      errors[o]! += weight.rounded[i]! * rounded[c]! - weight.exact[i]! * exact[c]!;
    }
  }
  return errors;
}
