/**
 * What to keep in fp32 so that nothing overflows: operators whose values do, and those that read them, which
 * would have to be given them in the narrow type. In as few entries as say it, and of those with the fewest
 * operators: names, patterns, groups.
 */
import type { Keep } from "../dsl/model.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { GROUPS } from "../rewrite/precision/groups.ts";
import { computesNarrow, named } from "../rewrite/precision/keep.ts";
import { generalized } from "../rewrite/precision/scopes.ts";

/**
 * @param graph optimized
 * @param tooNarrow names of its operators
 */
export function proposedKeep(graph: Graph, tooNarrow: ReadonlySet<string>): Keep {
  let left = topological(graph).filter((node) => computesNarrow(node) && tooNarrow.has(node.name));
  const groups = Object.entries(GROUPS).flatMap(([group, membersOf]) => {
    const members = membersOf(graph);
    const inside = left.filter((node) => members.has(node));
    if (patternsOf(inside, graph).length < 2) return [];
    left = left.filter((node) => !members.has(node));
    return [group];
  });
  return [...groups, ...patternsOf(left, graph)].map((scopes) => ["fp32", scopes]);
}

/** Names, and a pattern for what is called alike where it names nothing else. */
function patternsOf(nodes: readonly Node[], graph: Graph): readonly string[] {
  const isMeant = new Set(nodes);
  return [...Map.groupBy(nodes, ({ name }) => generalized(name))].flatMap(([pattern, alike]) => {
    const isExact = named(graph, pattern).every((node) => isMeant.has(node) || !computesNarrow(node));
    return isExact ? [pattern] : [...new Set(alike.map(({ name }) => name))];
  });
}
