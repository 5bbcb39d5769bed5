/** Values of a network's tensors on sample inputs, batch after batch. */
import type { Graph, Node } from "../../ir/graph.ts";
import { sessionFromOnnx } from "../../run/onnxruntime.ts";
import { numbersOf } from "../../run/session.ts";
import { feeder } from "../evaluate.ts";
import type { Examples } from "../examples.ts";

export interface WatchOptions {
  readonly examples: Examples;
  readonly batch: number;
  /** Writes a graph where a session can open it. */
  readonly onnx: (graph: Graph) => Promise<string>;
  readonly signal?: AbortSignal | undefined;
}

/** @param see is given each of the tensors for each batch of examples, of which `start` is the first */
export async function watch(
  graph: Graph,
  { nodes, from = 0, most = Infinity, onBatch, examples, batch, onnx, signal }: WatchOptions & {
    readonly nodes: Iterable<Node>;
    /** The first example that is looked at, whole batches in; and how many are known then. */
    readonly from?: number;
    readonly most?: number;
    /** Told after each batch which example is next. */
    readonly onBatch?: (next: number) => Promise<void>;
  },
  see: (node: Node, values: Float64Array, start: number) => void,
): Promise<void> {
  const end = Math.min(examples.count, most);
  if (from >= end) return;
  const watched = watchedGraph(graph, nodes);
  const { outputs } = watched;
  await using session = await sessionFromOnnx(await onnx(watched));
  const feeds = feeder(session, examples, batch);
  for (let start = from; start < end; start += batch) {
    signal?.throwIfAborted();
    const values = await session.run(feeds(start));
    for (const { name, node } of outputs) see(node, numbersOf(values[name]!), start);
    await onBatch?.(start + batch);
  }
}

/** The network with the tensors as its outputs. */
export function watchedGraph(graph: Graph, nodes: Iterable<Node>): Graph {
  return { ...graph, outputs: [...nodes].map((node, i) => ({ name: `watched.${i}`, node })) };
}
