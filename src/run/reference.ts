/**
 * The meaning of a graph, executed: each operator's own `evaluate`, in float64. Slow and obviously right;
 * every rewrite and every backend is tested against it.
 */
import { UnfoldError } from "../errors.ts";
import { bytesFromNumbers, float64FromBytes } from "../ir/data.ts";
import { type DType, isFloat } from "../ir/dtype.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { fixedShape, showShape } from "../ir/shape.ts";
import type { ReferenceTensor } from "../ops/define.ts";
import { opOf } from "../ops/table.ts";

export type ReferenceTensors = Readonly<Record<string, ReferenceTensor>>;

/**
 * Evaluates a graph without open dimensions (`trace` fixes them by `dims`).
 *
 * @param feeds a value for each input, by name
 * @param options.rounding `"each"` rounds every result to its element type, as a backend of that precision
 *   does; `"none"` (default) is exact algebra
 * @returns the outputs by name
 * @throws {UnfoldError} a feed is missing or has another shape
 */
export function evaluateGraph(
  graph: Graph,
  feeds: ReferenceTensors,
  { rounding = "none" }: { rounding?: "none" | "each" } = {},
): ReferenceTensors {
  const values = new Map<Node, ReferenceTensor>();
  for (const node of topological(graph)) {
    const inputs = node.inputs.map((input) => values.get(input)!);
    const value = node.op === "input" ? feedOf(node, feeds) : opOf(node).evaluate(inputs, node.attrs);
    values.set(node, rounding === "each" ? rounded(value, node.type.dtype) : value);
  }
  return Object.fromEntries(graph.outputs.map(({ name, node }) => [name, values.get(node)!]));
}

function feedOf(node: Node, feeds: ReferenceTensors): ReferenceTensor {
  const feed = feeds[node.name];
  const shape = fixedShape(node.type.shape, `the input ${node.name}`);
  if (feed === undefined) throw new UnfoldError(`the input ${node.name} is not fed`);
  if (feed.shape.join() !== shape.join()) {
    throw new UnfoldError(`the input ${node.name} is ${showShape(feed.shape)}, not ${showShape(shape)}`);
  }
  return feed;
}

function rounded(value: ReferenceTensor, dtype: DType): ReferenceTensor {
  if (!isFloat(dtype)) return value;
  return { shape: value.shape, data: float64FromBytes(bytesFromNumbers(value.data, dtype), dtype) };
}
