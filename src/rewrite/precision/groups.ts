/** Groups of nodes that are kept together though no scope holds them: what `--keep` knows beside patterns. */
import { type Graph, type Node, topological } from "../../ir/graph.ts";
import { isOp, opOf } from "../../ops/table.ts";
import { isNorm } from "../fold/norm_nodes.ts";

/** Each with what is in it. */
export const GROUPS = {
  /** The sums of the residual stream, what begins it, and the normalizations and means that read it. */
  stream: residualStream,
  /** Softmaxes, also inside of attentions, whose products stay as they are. */
  softmax: (graph: Graph) => new Set(topological(graph).filter(hasSoftmax)),
  /** Normalizations, where they are not folded. */
  statistics: (graph: Graph) => new Set(topological(graph).filter(isNorm)),
} as const satisfies Record<string, (graph: Graph) => ReadonlySet<Node>>;

export type Group = keyof typeof GROUPS;

export const isGroup = (text: string): text is Group => Object.hasOwn(GROUPS, text);

const hasSoftmax = (node: Node) => isOp(node, "softmax") || isOp(node, "attention");

/**
 * Sums `x + f(x)`, with what lies on the way of x in front of them (other sums, normalizations), and what
 * normalizes or averages one. Moves take the type of what they move.
 */
function residualStream(graph: Graph): ReadonlySet<Node> {
  const nodes = topological(graph);
  const places = new Map(nodes.map((node, place) => [node, place]));
  const stream = new Set<Node>();
  const starts: Node[] = [];
  for (const node of nodes) {
    if (!isOp(node, "add") || node.inputs.some(({ op }) => op === "constant")) continue;
    const [a, b] = node.inputs.map(moved) as [Node, Node];
    const skipped = [[a, b], [b, a]].filter(([x, f]) => stream.has(x!) || isMadeOf(f!, x!, places));
    if (skipped.length === 0) continue;
    stream.add(node);
    starts.push(...skipped.map(([x]) => x!));
  }
  for (const node of starts) {
    if (stream.has(node) || !(isOp(node, "add") || isNorm(node))) continue;
    stream.add(node);
    starts.push(...node.inputs.filter(({ op }) => op !== "constant").map(moved));
  }
  for (const node of nodes) {
    const [x] = node.inputs;
    if (x !== undefined && (isNorm(node) || opOf(node).kind === "mean") && stream.has(moved(x))) {
      stream.add(node);
    }
  }
  return stream;
}

/** The node whose values a node only moves. */
function moved(node: Node): Node {
  while (opOf(node).kind === "move") {
    const next = node.inputs.find(({ op }) => op !== "constant");
    if (next === undefined) break;
    node = next;
  }
  return node;
}

function isMadeOf(node: Node, source: Node, places: ReadonlyMap<Node, number>): boolean {
  const first = places.get(source)!;
  const seen = new Set<Node>([node]);
  for (const next of seen) {
    for (const input of next.inputs) {
      if (input === source) return true;
      if (places.get(input)! > first) seen.add(input);
    }
  }
  return false;
}
