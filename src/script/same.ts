/** Whether two traced graphs are one network: node for node, what they compute and of which weights. */
import { bytesAs, elementCount } from "../ir/data.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { dataOf } from "../ops/constant.ts";
import { foldConstants } from "../rewrite/tidy/fold_constants.ts";
import { literal } from "./phrase.ts";

/** Elements of a constant that are compared; larger ones are weights, which are known by their names. */
const MOST_ELEMENTS = 2 ** 17;

/** Where the graphs differ first; null where they do not. Names count where they are those of weights. */
export function difference(described: Graph, other: Graph): string | null {
  // A script says how constants are made of weights, which a graph has as constants.
  const [a, b] = [described, other].map((graph) => foldConstants(graph).graph) as [Graph, Graph];
  const ports = (graph: Graph) =>
    literal([
      ...graph.inputs.map(({ name, type }) => [name, type.dtype, type.shape]),
      ...graph.outputs.map(({ name }) => name),
    ]);
  if (ports(a) !== ports(b)) return `inputs and outputs: ${ports(a)} and ${ports(b)}`;
  const twins = new Map<Node, Node>();
  const symbols = new Map<unknown, unknown>();
  const [left, right] = [a, b].map((graph) => topological(graph).filter(({ op }) => op !== "constant"));
  if (left!.length !== right!.length) return `${left!.length} and ${right!.length} operators`;
  for (const [i, node] of left!.entries()) {
    const twin = right![i]!;
    const wrong = differs(node, twin, { twins, symbols });
    if (wrong !== null) return `${node.name}: ${wrong}`;
    twins.set(node, twin);
  }
  const isSame = a.outputs.every(({ node }, i) => twins.get(node) === b.outputs[i]!.node);
  return isSame ? null : "outputs are of other nodes";
}

/** An attribute as it is meant: an axis counted from the front, what was left out as what holds then. */
function attributeOf({ op, attrs, inputs }: Node, key: string): unknown {
  const value = attrs[key] ?? USUAL[op]?.[key];
  return key === "axis" && typeof value === "number" && value < 0
    ? value + inputs[0]!.type.shape.length
    : value;
}

/** What attributes are that were left out. */
const USUAL: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  conv: { groups: 1 },
  matmul: { transposeA: false, transposeB: false },
};

interface Known {
  readonly twins: ReadonlyMap<Node, Node>;
  readonly symbols: Map<unknown, unknown>;
}

function differs(node: Node, twin: Node, { twins, symbols }: Known): string | null {
  const described = ({ op, type }: Node) => literal([op, type.dtype, type.shape]);
  if (described(node) !== described(twin)) return `${described(node)} and ${described(twin)}`;
  for (const key of new Set([node, twin].flatMap(({ attrs }) => Object.keys(attrs)))) {
    const [ours, theirs] = [node, twin].map((each) => attributeOf(each, key));
    const isEqual = typeof ours === "symbol"
      ? symbols.getOrInsert(ours, theirs) === theirs
      : literal(ours) === literal(theirs);
    if (!isEqual) return `${key} is ${String(ours)} and ${String(theirs)}`;
  }
  if (node.inputs.length !== twin.inputs.length) return "another number of inputs";
  for (const [i, input] of node.inputs.entries()) {
    const other = twin.inputs[i]!;
    if (input.op !== "constant") {
      if (twins.get(input) !== other) return `reads ${input.name} and ${other.name}`;
    } else if (other.op !== "constant" || !isSameConstant(input, other)) {
      return `reads the constants ${input.name} and ${other.name}, which differ`;
    }
  }
  return null;
}

function isSameConstant(a: Node, b: Node): boolean {
  // A number is one under any shape of ones; what it makes of its operator's result is compared there.
  const described = ({ type: { dtype, shape } }: Node) =>
    literal([dtype, shape.every((dim) => dim === 1) || shape]);
  if (described(a) !== described(b)) return false;
  const [ours, theirs] = [dataOf(a), dataOf(b)];
  if (elementCount(ours.shape) > MOST_ELEMENTS) return ours.origin === theirs.origin && a.name === b.name;
  const [left, right] = [ours, theirs].map((data) => bytesAs(data, a.type.dtype));
  return left!.every((byte, i) => byte === right![i]);
}
