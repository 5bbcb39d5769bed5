/**
 * Nodes in order of execution. The standard asks it of files; some writers append, and a cycle is refused.
 */
import { UnfoldError } from "../errors.ts";
import { listed, quoted } from "../text.ts";
import { nearestNames } from "../weights/names.ts";
import type { OnnxNode } from "./file.ts";

/** Names that are searched for one that is like another. */
const MOST_NAMES = 10_000;

/** How messages call a node. */
export const nodeOf = ({ name, op }: Pick<OnnxNode, "name" | "op">): string => `node ${quoted(name)} (${op})`;

/**
 * The nodes so that each stands behind what it reads, and otherwise as they stood.
 *
 * @param given names that no node makes: inputs and initializers
 * @throws UnfoldError where a node reads what nothing makes, or its own result
 */
export function inOrder(
  nodes: readonly OnnxNode[],
  { path, given }: { readonly path: string; readonly given: ReadonlySet<string> },
): OnnxNode[] {
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const done = new Set<OnnxNode>();
  const open = new Set<OnnxNode>();
  const makerOf = (name: string, reader: OnnxNode) => {
    const maker = makers.get(name);
    if (maker !== undefined) return maker;
    const near = nearestNames(name, [...given, ...makers.keys()].slice(0, MOST_NAMES));
    throw new UnfoldError(
      `${path}: ${nodeOf(reader)} reads ${quoted(name)}, which no input, initializer or node makes.` +
        (near.length === 0 ? "" : ` Closest: ${listed(near)}.`) + " Export the model again.",
    );
  };
  // A stack of its own: a chain of nodes may be longer than the engine's.
  for (const first of nodes) {
    const stack = [first];
    for (let node = stack.at(-1); node !== undefined; node = stack.at(-1)) {
      const reader = node;
      const before = open.has(node) || done.has(node)
        ? []
        : readBy(node).filter((name) => name !== "" && !given.has(name)).map((name) => makerOf(name, reader))
          .filter((maker) => !done.has(maker));
      const own = before.find((maker) => maker === reader || open.has(maker));
      if (own !== undefined) {
        const cycle = own === reader ? [reader] : [...[...open].slice([...open].indexOf(own)), reader];
        throw new UnfoldError(
          `${path}: ${nodeOf(reader)} reads what is made of its own result: a cycle of ${
            listed(cycle.map(({ name }) => name))
          }. Export the model again.`,
        );
      }
      if (before.length === 0) {
        stack.pop();
        open.delete(node);
        done.add(node);
      } else {
        open.add(node);
        stack.push(...before.toReversed());
      }
    }
  }
  return [...done];
}

/** A node of a branch waits for what decides on it. */
const readBy = ({ inputs, when = [] }: OnnxNode): readonly string[] => [
  ...inputs,
  ...when.map(({ value }) => value),
];
