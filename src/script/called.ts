/**
 * What a value may be called: a layer by its scope, as "qkv"; an operand of attention by what it is there;
 * anything else by what makes it.
 */
import type { Node } from "../ir/graph.ts";
import type { Network } from "./network.ts";
import { literal } from "./phrase.ts";
import type { Word } from "./words/word.ts";

/** By operator, where a scope says no more than in which module it stands. */
const BY_OPERATOR: Readonly<Record<string, string>> = {
  add: "sum",
  and: "condition",
  arg_max: "place",
  attention: "mixed",
  concat: "joined",
  constant: "numbers",
  cos: "cosines",
  cumulative_sum: "counts",
  div: "quotient",
  equal: "condition",
  exp: "powers",
  gather: "picked",
  gather_elements: "picked",
  gather_nd: "picked",
  greater: "condition",
  greater_or_equal: "condition",
  less: "condition",
  less_or_equal: "condition",
  log: "logarithms",
  matmul: "product",
  max: "largest",
  min: "smallest",
  mul: "product",
  neg: "negated",
  not: "condition",
  or: "condition",
  pad: "padded",
  pow: "powers",
  range: "positions",
  reduce_mean: "mean",
  reduce_sum: "sum",
  resize: "resized",
  sin: "sines",
  size: "size",
  softmax: "shares",
  sqrt: "root",
  sub: "difference",
  where: "chosen",
};
const OPERANDS = ["q", "k", "v", "mask"];
/** What has the name of what it is of. */
const MOVES: ReadonlySet<string> = new Set(["reshape", "transpose", "slice", "expand", "cast"]);

/** The name, or the scope that it is the last part of. */
export function calledOf(node: Node, { words, network }: {
  readonly words: ReadonlyMap<Node, Word>;
  readonly network: Network;
}): string {
  const role = roleOf(node, network);
  const word = words.get(node);
  if (role !== null) return role;
  if (node.type.shape.length < (node.inputs[0]?.type.shape.length ?? 0) && node.inputs[0]?.op === "slice") {
    return "token";
  }
  if (word?.scope === undefined && MOVES.has(node.op)) {
    const [of] = node.inputs as [Node];
    return of.op === "input" ? of.name : calledOf(of, { words, network });
  }
  const parameter = network.parameterOf(node);
  if (parameter !== null) return parameter.name;
  const { scope = node.name.split("/")[0]!, imports = [] } = word ?? {};
  if (word?.scope === undefined && BY_OPERATOR[node.op] !== undefined) return BY_OPERATOR[node.op]!;
  // A block's number says less than what it is that stands there.
  return /(^|\.)\d+$/.test(scope) && imports.length > 0 ? imports[0]! : scope;
}

/** What it is to the attentions that read it, where nothing else does. */
function roleOf(node: Node, { uses }: Network): string | null {
  const places = (uses.get(node) ?? []).map((use) =>
    "user" in use && use.user.op === "attention" ? use.index : -1
  );
  return new Set(places).size === 1 ? OPERANDS[places[0]!] ?? null : null;
}

/** The last part of a scope that says something, as a variable: "qkv". */
export function variableOf(scope: string): string {
  const own = scope.split(".").findLast((part) => /[A-Za-z]/.test(part) && !SILENT.includes(part)) ?? "x";
  const words = own.replace(/[^A-Za-z0-9]+(.)?/g, (_, next = "") => next.toUpperCase());
  return NAME.test(words) ? words[0]!.toLowerCase() + words.slice(1) : "x";
}

const SILENT = ["weight", "bias"];

const NAME = /^[A-Za-z_$][\w$]*$/;

/** What no variable of a script is called: words of its language, and what it calls scopes and rounds. */
const RESERVED: ReadonlySet<string> = new Set(
  ("arguments await break case catch class const continue debugger default delete do else enum eval export " +
    "extends false finally for function i if implements import in instanceof interface let new null p package " +
    "private protected public return static super switch this throw true try typeof undefined var void while " +
    "with yield").split(" "),
);

/** Whether a name can be one of a variable. */
export const identifier = (name: string): boolean => NAME.test(name) && !RESERVED.has(name);

/** A name as an object's key. */
export const key = (name: string): string => NAME.test(name) ? name : literal(name);
