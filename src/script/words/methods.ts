/** Operators as methods of a tensor: what no larger word says. */
import { ELEMENTARY, type Elementary } from "../../dsl/functions/elementary.ts";
import { elementCount, float64Of } from "../../ir/data.ts";
import type { Node, Use } from "../../ir/graph.ts";
import { hiddenIn } from "../../ops/attention.ts";
import { dataOf } from "../../ops/constant.ts";
import type { Network } from "../network.ts";
import { tableOf } from "../tables.ts";
import { listed, literal, options, type Phrase, phrase, unless } from "../phrase.ts";
import { numberOf } from "./blocks.ts";

import type { Reading, Word } from "./word.ts";

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
  return ({ inputs: [x, other] }: Node, network: Network): Phrase => {
    // A number has one axis, as the result would then.
    const number = x!.type.shape.length === 0 ? null : numberOf(other, network);
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
  if (network.isHiding(node)) {
    const [value] = float64Of(dataOf(node));
    return {
      phrase: phrase`hidden(${value === hiddenIn("fp32") ? "" : literal(value)})`,
      imports: ["hidden"],
      within: [],
    };
  }
  const made = tableOf(node);
  if (made === null) return null;
  const { dtype, shape } = node.type;
  const isOne = numberOf(node, network) !== null && network.uses.get(node)!.every(isElementwise);
  const settings = options({
    shape: isOne ? undefined : unless([elementCount(shape as readonly number[])], shape),
    dtype: network.isFloat(node) ? undefined : [literal(dtype)],
    // A file's names of numbers are made up.
    name: network.model.origin === undefined ? unless("constant", node.name) : undefined,
  });
  return {
    phrase: phrase`constant(${isOne ? [literal(numberOf(node, network))] : made.text}${settings})`,
    imports: ["constant", ...made.imports],
    within: [],
  };
};

/** Whether an operand of one number makes the same of an operator whatever its axes. */
const isElementwise = (use: Use): boolean =>
  "user" in use && use.user.type.shape.length > 0 && ELEMENTWISE.has(use.user.op);

const ELEMENTWISE: ReadonlySet<string> = new Set(
  "add sub mul div max min pow where and or equal less greater less_or_equal greater_or_equal".split(" "),
);
