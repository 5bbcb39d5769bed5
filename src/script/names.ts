/**
 * What values are called in a script: the network's stream `x` from its beginning to its end, others by the
 * last part of the scope they come from. A name is free again where its value was read for the last time, so
 * that equal blocks have equal names.
 */
import type { Node } from "../ir/graph.ts";
import { identifier, variableOf } from "./called.ts";
import { literal } from "./phrase.ts";
import { nodesIn, type Statement } from "./read.ts";

/** What inputs are called: by their names, behind lines where no variable can have that, or one has. */
export function variablesOf(
  inputs: readonly Node[],
  taken: ReadonlySet<string>,
): ReadonlyMap<Node, string> {
  const variables = new Map<string, Node>();
  for (const node of inputs) {
    let name = node.name.replace(/[^A-Za-z0-9_$]+/g, "_");
    while (!identifier(name) || taken.has(name) || variables.has(name)) name = `_${name}`;
    variables.set(name, node);
  }
  return new Map([...variables].map(([name, node]) => [node, name]));
}

/** A name for each value that has a statement. */
export function namesOf(
  statements: readonly Statement[],
  taken: ReadonlySet<string>,
  inputs: ReadonlyMap<Node, string>,
): ReadonlyMap<Node, string> {
  const last = new Map(
    statements.flatMap(({ phrase }, i) => nodesIn(phrase).map((node) => [node, i] as const)),
  );
  const names = new Map<Node, string>(inputs);
  const live = new Map<string, Node>([...inputs].map(([node, name]) => [name, node]));
  const still = new Set(statements.filter(({ isStill }) => isStill).map(({ node }) => node));
  let stream = "x";
  statements.forEach(({ node, phrase, called }, i) => {
    const read = nodesIn(phrase);
    // What all blocks read keeps its name behind the last one, which is to be like the others.
    for (const each of read) if (last.get(each) === i && !still.has(each)) live.delete(names.get(each)!);
    if (node === null) return;
    const [first] = read;
    // A stream that begins with an input goes on under its name.
    if (
      called === null && first !== undefined && inputs.has(first) &&
      literal(first.type) === literal(node.type)
    ) {
      stream = names.get(first)!;
    }
    const own = called === null ? stream : variableOf(called);
    const wanted = taken.has(own) ? `${own}Out` : own;
    const isFree = (name: string) => !live.has(name) && !taken.has(name) && identifier(name);
    let name = wanted;
    for (let n = 2; !isFree(name); n++) name = `${wanted}${n}`;
    names.set(node, name);
    live.set(name, node);
  });
  return names;
}
