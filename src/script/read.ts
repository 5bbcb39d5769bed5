/**
 * A network in words: for each value that is needed the largest word that stands for it, so that what lies
 * within a word is nowhere needed. Values that are read once stand where they are read, while the line is not
 * too long; what remains are statements, one value each, in order.
 */
import { UnfoldError } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import { listed as listedNames } from "../text.ts";
import { calledOf, key, variableOf } from "./called.ts";
import type { Network } from "./network.ts";
import { listed, type Phrase } from "./phrase.ts";
import {
  attention,
  joinHeads,
  repeatHeads,
  rotateHalf,
  scaledDotProductAttention,
  splitHeads,
} from "./words/attention.ts";
import { block, mlp } from "./words/blocks.ts";
import {
  constant,
  convolution,
  convolution1d,
  embedding,
  layerScale,
  linear,
  mapToTokens,
  norm,
  prependToken,
  stored,
} from "./words/layers.ts";
import { called, reorder } from "./words/functions.ts";
import { concat, method, numbers, pick } from "./words/methods.ts";
import type { Reading, Word } from "./words/word.ts";

/** The first that fits is taken: larger words before what they consist of. */
const READINGS: readonly Reading[] = [
  block,
  attention,
  mlp,
  mapToTokens,
  prependToken,
  convolution1d,
  reorder,
  embedding,
  norm,
  layerScale,
  linear,
  convolution,
  pick,
  joinHeads,
  splitHeads,
  repeatHeads,
  rotateHalf,
  scaledDotProductAttention,
  constant,
  stored,
  numbers,
  concat,
  method,
  called,
];

/** Characters of a name and a phrase in which other phrases stand: of 110 what is left in a loop. */
const MOST_CHARACTERS = 94;

/** A value that has a name; null of what is returned. */
export interface Statement {
  readonly node: Node | null;
  readonly phrase: Phrase;
  /** What the value may be called, where it is not the network's stream. */
  readonly called: string | null;
  /** Whether it reads nothing of the stream, as a mask that all blocks have. */
  readonly isStill?: boolean;
}

/** The network as statements, the last of which returns its outputs, and the names that they import. */
export function statementsOf(
  network: Network,
): { readonly statements: readonly Statement[]; readonly imports: ReadonlySet<string> } {
  const { outputs, inputs } = network.graph;
  const words = new Map<Node, Word>();
  const order: Node[] = [];
  const given = new Set(inputs);
  const unsaid = new Set<Node>();
  const reads = new Map<Node, number>();
  // An explicit stack: networks are deep.
  const stack = outputs.map(({ node }) => ({ node, isRead: false })).toReversed();
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { node, isRead } = top;
    if (isRead) order.push(node);
    else if (!given.has(node) && !words.has(node)) {
      const word = wordOf(node, network);
      if (word === null) unsaid.add(node);
      else {
        words.set(node, word);
        const needed = nodesIn(word.phrase);
        for (const each of needed) reads.set(each, (reads.get(each) ?? 0) + 1);
        stack.push({ node, isRead: true }, ...needed.map((node) => ({ node, isRead: false })).toReversed());
      }
    }
  }
  refuseUnsaid(unsaid, network);
  const result: Phrase = [
    "{ ",
    ...listed(outputs.map(({ name, node }) => [`${key(name)}: `, { node }])),
    " }",
  ];
  for (const { node } of outputs) reads.set(node, (reads.get(node) ?? 0) + 1);
  const portOf = new Map(outputs.map(({ name, node }) => [node, name]));
  const nameOf = (node: Node) => portOf.get(node) ?? calledOf(node, { words, network });
  /** The statements, where it is known of some values that they are of the stream, whose name is short. */
  const composed = (known: ReadonlySet<Node>): Statement[] => {
    const nameIn = (node: Node) => known.has(node) ? "x" : variableOf(nameOf(node));
    // Some get a number.
    const widthOf = (node: Node) => given.has(node) ? node.name.length : nameIn(node).length + 1;
    const uses = (node: Node) => network.uses.get(node)!.length;
    const streams = new Set<Node>();
    const inlined = new Map<Node, Phrase>();
    const statements: Statement[] = [];
    const written = (phrase: Phrase, name: string): Phrase => {
      const most = MOST_CHARACTERS - name.length;
      for (;;) {
        const whole = phrase.flatMap((part) =>
          typeof part === "object" && "node" in part ? inlined.get(part.node) ?? [part] : [part]
        );
        const all = nodesIn(phrase).filter((node) => inlined.has(node));
        // Parameters stand where they are read, while anything else can be taken out.
        const others = all.filter((node) => !isParameter(node, network));
        const within = others.length > 0 ? others : all;
        if (within.length === 0 || lengthOf(whole, widthOf) <= most) return whole;
        const length = (node: Node) => lengthOf(inlined.get(node)!, widthOf);
        const longest = within.reduce((a, b) => length(b) > length(a) ? b : a);
        statements.push({ node: longest, phrase: inlined.get(longest)!, called: nameOf(longest) });
        inlined.delete(longest);
      }
    };
    for (const node of order) {
      const phrase = written(words.get(node)!.phrase, nameIn(node));
      const word = words.get(node)!;
      const isStream = isSum(node, network) || word.imports.includes("block") ||
        (word.imports.includes("norm") && streams.has(nodesIn(word.phrase)[0]!) &&
          uses(nodesIn(word.phrase)[0]!) === 1);
      if (isStream) streams.add(node);
      if (isParameter(node, network) || (reads.get(node) === 1 && !isStream)) inlined.set(node, phrase);
      else statements.push({ node, phrase, called: isStream ? null : nameOf(node) });
    }
    statements.push({ node: null, phrase: written(result, "return"), called: null });
    return streamed(statements, network);
  };
  const stream = composed(new Set()).flatMap(({ node, called }) =>
    node !== null && called === null ? node : []
  );
  return {
    statements: blocksTogether(composed(new Set(stream))),
    imports: new Set([...words.values()].flatMap(({ imports }) => imports)),
  };
}

/** What a stream begins with is of the stream, too: what a sum adds to, else what is read first. */
function streamed(statements: readonly Statement[], { uses }: Network): Statement[] {
  const begins = new Set<Node>();
  // What depends on an input.
  const fed = new Set<Node>();
  for (const node of uses.keys()) {
    if (node.op === "input" || node.inputs.some((input) => fed.has(input))) fed.add(node);
  }
  return statements.toReversed().map((statement) => {
    const { node, phrase, called } = statement;
    if (node === null || (called !== null && !begins.has(node))) return statement;
    const read = nodesIn(phrase);
    const moving = read.filter((each) => node.inputs.includes(each) && fed.has(each));
    begins.add(moving.find((each) => uses.get(each)!.length > 1) ?? moving[0] ?? read[0]!);
    return { ...statement, called: null };
  }).toReversed();
}

/** What reads nothing of the stream, masks and positions, before all that does: blocks are alike then. */
function blocksTogether(statements: readonly Statement[]): Statement[] {
  // The input that the stream begins with is of it.
  const first = statements.find(({ node, called }) => node !== null && called === null);
  const moving = new Set(first === undefined ? [] : nodesIn(first.phrase).slice(0, 1));
  for (const { node, phrase, called } of statements) {
    if (node !== null && (called === null || nodesIn(phrase).some((read) => moving.has(read)))) {
      moving.add(node);
    }
  }
  const isStill = ({ node }: Statement) => node !== null && !moving.has(node);
  return [
    ...statements.filter(isStill).map((statement) => ({ ...statement, isStill: true })),
    ...statements.filter((statement) => !isStill(statement)),
  ];
}

/** Whether it adds to what others read, too: a residual network's stream. */
const isSum = ({ op, inputs }: Node, { uses }: Network) =>
  op === "add" && inputs.some((input) => input.op !== "constant" && uses.get(input)!.length > 1);

const isParameter = (node: Node, network: Network) => network.parameterOf(node) !== null;

function wordOf(node: Node, network: Network): Word | null {
  for (const reading of READINGS) {
    const word = reading(node, network);
    if (word !== null && isApart(node, word, network)) return word;
  }
  return null;
}

/** Whether nobody else reads what lies within a word. */
function isApart(node: Node, { within }: Word, { uses }: Network): boolean {
  const inside = new Set([node, ...within]);
  return within.every((each) => uses.get(each)!.every((use) => "user" in use && inside.has(use.user)));
}

export const nodesIn = (phrase: Phrase): Node[] =>
  phrase.flatMap((part) => typeof part === "object" && "node" in part ? part.node : []);

/** About how long it will be. */
function lengthOf(phrase: Phrase, widthOf: (node: Node) => number): number {
  const lengths = phrase.map((part) =>
    typeof part === "string"
      ? part.length
      : "node" in part
      ? widthOf(part.node)
      : "called" in part
      ? part.called.length
      : part.scope === ""
      ? 1
      : part.scope.length + 8
  );
  return lengths.reduce((sum, length) => sum + length, 0);
}

function refuseUnsaid(unsaid: ReadonlySet<Node>, { model }: Network): void {
  if (unsaid.size === 0) return;
  const kinds = Map.groupBy(
    unsaid,
    ({ op, type }) => op === "constant" ? `a table of ${type.shape.join(" x ")}` : op,
  );
  const told = [...kinds].map(([kind, nodes]) =>
    `${kind} (${listedNames(nodes.map(({ name }) => name), 2)})`
  );
  throw new UnfoldError(
    `${model.name} cannot be written as a script: no word of the DSL makes ${told.slice(0, 8).join(", ")}` +
      `${told.length > 8 ? ", ..." : ""}. Build it from its file, without --emit-dsl.`,
  );
}
