/**
 * Where the tensors that a description names are, pass by pass: for whoever compares networks tensor by
 * tensor. `following` marks them, `mapGraph` keeps them, a pass that changes values says how that is undone,
 * and `settled`, behind each pass, looks through what only moves values: passes change what computes. A graph
 * that nobody follows costs nothing.
 */
import { isFloat } from "../ir/dtype.ts";
import { type Followed, type Graph, type Node, topological, type Undo, uniqueNames } from "../ir/graph.ts";
import { axisIn } from "../ir/shape.ts";
import { isOp, opOf } from "../ops/table.ts";

/** The graph with each computed tensor followed under its node's name, and its outputs. */
export function following(graph: Graph): Graph {
  const names = uniqueNames(graph);
  const followed = new Map<string, Followed>();
  const isOutput = new Map(graph.outputs.map(({ name, node }) => [node, name]));
  for (const node of topological(graph)) {
    const { kind } = opOf(node);
    if (!isFloat(node.type.dtype) || kind === "source") continue;
    const output = isOutput.get(node);
    // What only moves values has no error of its own.
    if (kind !== "move") followed.set(names.get(node)!, { node, undo: [] });
    else if (output !== undefined) followed.set(output, { node, undo: [] });
  }
  return { ...graph, followed };
}

/** The graph with followed tensors in the nodes that compute them, behind whatever only moves them. */
export function settled(graph: Graph): Graph {
  if (graph.followed === undefined) return graph;
  const live = new Set(topological(graph));
  const settle = (at: Followed): Followed => {
    if ("gone" in at) return at;
    const step = moveOf(at.node);
    if (step !== null) return settle({ node: at.node.inputs[0]!, undo: [...step, ...at.undo] });
    return live.has(at.node) ? at : { gone: "is not computed any more" };
  };
  return { ...graph, followed: new Map([...graph.followed].map(([name, at]) => [name, settle(at)])) };
}

/** What a node that only moves one tensor's values does; null of others. */
function moveOf(node: Node): readonly Undo[] | null {
  if (isOp(node, "cast")) return [];
  if (isOp(node, "reshape")) return [{ kind: "reshape", shape: node.type.shape }];
  if (isOp(node, "transpose")) return [{ kind: "transpose", permutation: node.attrs.permutation }];
  if (!isOp(node, "slice")) return null;
  const { axis, start, size, step } = node.attrs;
  return [{ kind: "part", axis: axisIn(axis, node.type.shape.length, "slice"), start, size, step }];
}
