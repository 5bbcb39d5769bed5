/** Operators that the DSL has as functions of tensors: choices, indices, and what is done to maps. */
import { float64Of } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { dataOf } from "../../ops/constant.ts";
import type { Network } from "../network.ts";
import { listed, literal, options, type Phrase, phrase, unless } from "../phrase.ts";
import { named, type Order, type Reordering, reorderingOf } from "../tables.ts";
import { numberOf } from "./blocks.ts";
import type { Reading } from "./word.ts";

interface Call {
  readonly name: string;
  readonly args: readonly Phrase[];
  readonly settings?: Readonly<Record<string, Phrase | undefined>>;
}

const comparison = (node: Node, network: Network): Call => {
  const [a, b] = node.inputs as [Node, Node];
  return { name: "compare", args: [[{ node: a }], [literal(node.op)], valueOf(b, network)] };
};
const inputsOf = ({ inputs }: Node): readonly Phrase[] => inputs.map((input) => [{ node: input }]);
const plain = (name: string) => (node: Node): Call => ({ name, args: inputsOf(node) });
const along = (name: string) => (node: Node): Call => ({
  name,
  args: inputsOf(node),
  settings: { axis: unless(-1, node.attrs.axis), keepDims: unless(false, node.attrs.keepDims ?? false) },
});
const pooled = (of: string) => (node: Node): Call | null => {
  const { kernel, stride, padding } = node.attrs as Readonly<Record<string, readonly number[]>>;
  const isSquare = [kernel!, stride!, padding!].every(([height, width]) => height === width);
  if (!isSquare || node.attrs.paddingAfter !== undefined) return null;
  return {
    name: "pool",
    args: inputsOf(node),
    settings: {
      of: [literal(of)],
      kernel: [literal(kernel![0])],
      stride: unless(kernel![0], stride![0]),
      padding: unless(0, padding![0]),
    },
  };
};

const CALLS: Readonly<Record<string, (node: Node, network: Network) => Call | null>> = {
  equal: comparison,
  less: comparison,
  greater: comparison,
  less_or_equal: comparison,
  greater_or_equal: comparison,
  and: plain("and"),
  or: plain("or"),
  not: plain("not"),
  is_nan: plain("isNan"),
  where: ({ inputs: [condition, a, b] }, network) => {
    const [first, second] = [valueOf(a!, network), valueOf(b!, network)];
    // One of both says the element type.
    const isTyped = [first, second].some(([part]) => typeof part !== "string");
    return { name: "where", args: [[{ node: condition! }], first, isTyped ? second : [{ node: b! }]] };
  },
  size: ({ attrs }) => ({ name: "size", args: [[literal(attrs.size)]] }),
  range: ({ attrs }) => ({ name: "range", args: [[literal(attrs.size)]] }),
  arg_max: along("argMax"),
  cumulative_sum: along("cumulativeSum"),
  gather_elements: along("gatherElements"),
  gather_nd: plain("gatherAt"),
  average_pool: pooled("average"),
  max_pool: pooled("max"),
  pad: (node) => ({
    name: "pad",
    args: inputsOf(node),
    settings: {
      before: [literal(node.attrs.before)],
      after: [literal(node.attrs.after)],
      value: unless(0, node.attrs.value),
    },
  }),
  resize: (node) => ({
    name: "resize",
    args: inputsOf(node),
    settings: {
      height: [literal(node.type.shape[2])],
      width: [literal(node.type.shape[3])],
      mode: unless("linear", node.attrs.mode),
      alignCorners: unless(false, node.attrs.alignCorners),
    },
  }),
};

/** A number as it is, anything else by its name. */
function valueOf(node: Node, network: Network): Phrase {
  const number = numberOf(node, network);
  return number === null ? [{ node }] : [literal(number)];
}

export const called: Reading = (node, network) => {
  const call = CALLS[node.op]?.(node, network) ?? null;
  if (call === null) return null;
  const { name, args, settings = {} } = call;
  return { phrase: phrase`${[`${name}(`]}${listed(args)}${options(settings)})`, imports: [name], within: [] };
};

/** Tokens that are gathered in another order. */
export const reorder: Reading = (node) => {
  const found = reorderingAt(node);
  return found && {
    phrase: phrase`reorder(${{ node: node.inputs[0]! }}, { from: ${named(found.from)}, to: ${
      named(found.to)
    } })`,
    imports: ["reorder", ...found.from.imports, ...found.to.imports],
    within: [],
  };
};

const reorderings = new WeakMap<Node, Reordering | null>();

function reorderingAt(node: Node): Reordering | null {
  const [x, indices] = node.inputs;
  if (node.op !== "gather" || node.attrs.axis !== 1 || indices?.op !== "constant") return null;
  const { dtype, shape } = indices.type;
  const [, tokens, ...channels] = x!.type.shape;
  if (dtype !== "int32" || shape.length !== 1 || shape[0] !== tokens || channels.length !== 1) return null;
  return reorderings.getOrInsertComputed(
    node,
    () => reorderingOf(float64Of(dataOf(indices)), orderAt(x!, tokens as number)),
  );
}

/** The order that so many tokens were brought to last; null where they never were. */
function orderAt(x: Node, tokens: number): Order | null {
  for (let at: Node | undefined = x; at !== undefined; at = at.inputs[0]) {
    const found = reorderingAt(at);
    if (found !== null) return found.to.places.length === tokens ? found.to : null;
  }
  return null;
}
