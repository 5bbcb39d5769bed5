/**
 * Rewrite rules and the driver that applies them to a fixed point. A rule is a law: an equation between two
 * forms of one value, applied in one direction, toward fewer nodes. Work that must look at siblings or
 * consumers is a pass by itself, a function of the graph (`pass.ts`).
 */
import { type Graph, mapGraph, type Node, topological, usesOf } from "../ir/graph.ts";
import { rebuild } from "../ops/table.ts";
import { settled } from "./followed.ts";

export interface Rule {
  readonly name: string;
  /** The equation, left side to right side. */
  readonly law: string;
  /**
   * The right side where the node is a left side; null elsewhere. A law that computes an input again in
   * another form asks whether others read that input, for whom it would be computed as well.
   */
  rewrite(node: Node, isShared?: (input: Node) => boolean): Node | null;
}

/** How often each rule fired. */
export type Firings = Readonly<Record<string, number>>;

/**
 * Applies rules bottom-up until none fires.
 *
 * @throws {Error} the rules do not come to rest, which is a defect of the rules
 */
export function applyRules(graph: Graph, rules: readonly Rule[]): { graph: Graph; firings: Firings } {
  const firings: Record<string, number> = {};
  // A sweep that fires removes a node or settles one, so no graph needs more sweeps than it has nodes.
  const limit = topological(graph).length + 1;
  for (let sweep = 0; sweep < limit; sweep++) {
    let fired = false;
    const uses = usesOf(graph);
    // What stands for several nodes counts the readers of all; what is read only by what a rule has just made
    // counts one too many until the next sweep.
    const readers = new Map<Node, number>();
    const isShared = (input: Node) => (readers.get(input) ?? 1) > 1;
    graph = mapGraph(graph, (node, inputs) => {
      let result = rebuild(node, inputs);
      for (const rule of rules) {
        const next = rule.rewrite(result, isShared);
        if (next !== null) {
          fired = true;
          firings[rule.name] = (firings[rule.name] ?? 0) + 1;
          result = next;
          break;
        }
      }
      readers.set(result, (readers.get(result) ?? 0) + uses.get(node)!.length);
      return result;
    });
    if (!fired) return { graph, firings };
    graph = settled(graph);
  }
  throw new Error(
    `${graph.name}: the rules did not come to rest after ${limit} sweeps: ${JSON.stringify(firings)}`,
  );
}
