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
  { nodes, most = Infinity, examples, batch, onnx, signal }: WatchOptions & {
    readonly nodes: Iterable<Node>;
    /** Examples that are looked at. */
    readonly most?: number;
  },
  see: (node: Node, values: Float64Array, start: number) => void,
): Promise<void> {
  const outputs = [...nodes].map((node, i) => ({ name: `watched.${i}`, node }));
  await using session = await sessionFromOnnx(await onnx({ ...graph, outputs }));
  const feeds = feeder(session, examples, batch);
  for (let start = 0; start < Math.min(examples.count, most); start += batch) {
    signal?.throwIfAborted();
    const values = await session.run(feeds(start));
    for (const { name, node } of outputs) see(node, numbersOf(values[name]!), start);
  }
}
