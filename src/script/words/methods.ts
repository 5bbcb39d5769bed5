/** Operators as methods of a tensor: what no larger word says. */
import { ELEMENTARY, type Elementary } from "../../dsl/functions/elementary.ts";
import { float64Of } from "../../ir/data.ts";
import type { Node } from "../../ir/graph.ts";
import { hiddenIn } from "../../ops/attention.ts";
import { dataOf } from "../../ops/constant.ts";
import type { Network } from "../network.ts";
import { listed, literal, options, type Phrase, phrase, unless } from "../phrase.ts";
import { numberOf } from "./blocks.ts";
import type { Reading, Word } from "./word.ts";

/** Numbers that are written out; tables of more have no place in a script. */
const MOST_NUMBERS = 64;
/** Numbers that need no rule. */
const FEW_NUMBERS = 8;

/** What stands behind the first operand, by operator. */
const METHODS: Readonly<Record<string, (node: Node, network: Network) => Phrase>> = {
  add: binary("add"),
  sub: binary("sub"),
  mul: binary("mul"),
  div: binary("div"),
  max: binary("maximum"),
  min: binary("minimum"),
  pow: binary("pow"),
  relu: plain("relu"),
  silu: plain("silu"),
  tanh: plain("tanh"),
  exp: plain("exp"),
  sqrt: plain("sqrt"),
  gelu: ({ attrs }) => call("gelu", { approximate: unless("none", attrs.approximate) }),
  softmax: ({ attrs }) => call("softmax", { axis: unless(-1, attrs.axis) }),
  matmul: ({ inputs, attrs }) => [
    ".matmul(",
    { node: inputs[1]! },
    ...options({
      transposeA: unless(false, attrs.transposeA ?? false),
      transposeB: unless(false, attrs.transposeB ?? false),
    }),
    ")",
  ],
  reshape: ({ attrs }) => [`.reshape(${literal(attrs.shape)})`],
  expand: ({ attrs }) => [`.expand(${literal(attrs.shape)})`],
  transpose: ({ attrs }) => [`.transpose(${literal(attrs.permutation)})`],
  reduce_max: reduced("max"),
  reduce_mean: reduced("mean"),
  reduce_sum: reduced("sum"),
  gather: ({ inputs, attrs }) => [
    ".gather(",
    { node: inputs[1]! },
    ...options({ axis: unless(0, attrs.axis) }),
    ")",
  ],
  slice: ({ inputs: [x], attrs: { axis, start, size, step } }) => {
    const all = x!.type.shape.at(axis as number);
    const isRest = typeof all === "number" &&
      Math.ceil((all - (start as number)) / (step as number)) === size;
    return call("slice", {
      axis: [literal(axis)],
      start: unless(0, start),
      size: isRest ? undefined : [literal(size)],
      step: unless(1, step),
    });
  },
  cast: (node, network) => [`.cast(${literal(network.isFloat(node) ? "float" : node.attrs.to)})`],
};

function call(name: string, entries: Readonly<Record<string, Phrase | undefined>>): Phrase {
  return [`.${name}(`, ...options(entries).map((part) => part === ", { " ? "{ " : part), ")"];
}

function mapped({ op, attrs }: Node): Phrase {
  const parameters = Object.entries(attrs).map(([key, value]) => [key, [literal(value)]] as const);
  return [`.map(${literal(op)}`, ...options(Object.fromEntries(parameters)), ")"];
}

function plain(name: string) {
  return (): Phrase => [`.${name}()`];
}

function binary(name: string) {
  return ({ inputs: [, other] }: Node, network: Network): Phrase => {
    const number = numberOf(other, network);
    return [`.${name}(`, number === null ? { node: other! } : literal(number), ")"];
  };
}

function reduced(name: string) {
  return ({ attrs }: Node): Phrase =>
    call(name, { axes: [literal(attrs.axes)], keepDims: unless(false, attrs.keepDims ?? false) });
}

export const method: Reading = (node, network) => {
  const written = METHODS[node.op] ?? (ELEMENTARY.includes(node.op as Elementary) ? mapped : undefined);
  if (written === undefined) return null;
  return { phrase: phrase`${{ node: node.inputs[0]! }}${written(node, network)}`, imports: [], within: [] };
};

export const concat: Reading = (node) => {
  if (node.op !== "concat") return null;
  const inputs = listed(node.inputs.map((input) => [{ node: input }]));
  return {
    phrase: phrase`concat([${inputs}], { axis: ${literal(node.attrs.axis)} })`,
    imports: ["concat"],
    within: [],
  };
};

/** `x[:, 0]`. */
export const pick: Reading = (node) => {
  const row = node.inputs[0];
  if (node.op !== "reshape" || row?.op !== "slice" || row.attrs.size !== 1 || row.attrs.step !== 1) {
    return null;
  }
  const axis = row.attrs.axis as number;
  if (literal(node.type.shape) !== literal(row.type.shape.filter((_, i) => i !== axis))) return null;
  const settings = call("pick", { axis: [literal(axis)], index: [literal(row.attrs.start)] });
  return { phrase: phrase`${{ node: row.inputs[0]! }}${settings}`, imports: [], within: [row] };
};

/** Numbers that the network has in its description. */
export const numbers: Reading = (node, network): Word | null => {
  if (node.op !== "constant" || network.parameterOf(node) !== null) return null;
  const values = [...float64Of(dataOf(node))];
  if (network.isHiding(node)) {
    const value = values[0] === hiddenIn("fp32") ? "" : literal(values[0]);
    return { phrase: phrase`hidden(${value})`, imports: ["hidden"], within: [] };
  }
  const written = seriesOf(values);
  if (written === null) return null;
  const { dtype, shape } = node.type;
  const settings = options({
    shape: unless([values.length], shape),
    dtype: network.isFloat(node) ? undefined : [literal(dtype)],
    name: unless("constant", node.name),
  });
  return { phrase: phrase`constant(${written}${settings})`, imports: ["constant"], within: [] };
};

/**
 * Numbers as one would type them: all of a few, many that are equal or count up by a rule; null of any
 * others.
 */
function seriesOf(values: readonly number[]): string | null {
  if (values.length <= FEW_NUMBERS) return literal(values);
  const { length } = values;
  const [first, second] = values as [number, number];
  if (values.every((value) => value === first)) return `Array(${length}).fill(${literal(first)})`;
  const counts = values.every((value, i) => value === first + i * (second - first));
  if (counts && second - first === 1) {
    return `Array.from({ length: ${length} }, (_, i) => ${first === 0 ? "i" : `i + ${first}`})`;
  }
  return length <= MOST_NUMBERS ? literal(values) : null;
}
