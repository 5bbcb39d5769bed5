/** What the DSL is given besides numbers and names: tensors and scopes. */
import { UnfoldError } from "../errors.ts";
import { argument, COUNT, either, FLAG, type Kind, listOf, NUMBER, optional, TEXT } from "../ir/given.ts";
import type { Node } from "../ir/graph.ts";
import { apply, type AttrsOf, isNode, type OpName } from "../ops/table.ts";
import { Scope } from "./scope.ts";

export const TENSOR: Kind = { words: "a tensor", is: isNode };
export const SCOPE: Kind = { words: 'a scope, as p.at("name")', is: (value) => value instanceof Scope };

export const THREE_NAMES = listOf(TEXT, 3);

/** Options of an attention, for whoever takes them too. */
export const ATTENTION = {
  heads: COUNT,
  qkv: optional(either(TEXT, THREE_NAMES)),
  out: optional(TEXT),
  qkvBias: optional(FLAG),
  outBias: optional(FLAG),
  outCentred: optional(FLAG),
  scale: optional(NUMBER),
  causal: optional(FLAG),
  mask: optional(TENSOR),
  norm: optional(SCOPE),
  window: optional(COUNT),
};

/** What a layer is called in messages, its tensor and scope being what they should be. */
export function layer(name: string, x: Node, p: Scope): string {
  argument(`${name}: the scope`, p, SCOPE);
  const what = p.path === "" ? name : `${p.path}: ${name}`;
  argument(`${what}: x`, x, TENSOR);
  return what;
}

/** Operators that one network is described with, at most: hundreds of times those of the largest that are known. */
const MOST_OPERATORS = 2 ** 18;
let operators = 0;

/** A network begins to be described, of no operators yet. */
export function beginDescription(): void {
  operators = 0;
}

/** One operator on tensors, which are looked at first. */
export function op<Name extends OpName>(
  name: Name,
  inputs: readonly Node[],
  options: { attrs: AttrsOf<Name>; name?: string },
): Node {
  for (const input of inputs) argument(`${name}: its input`, input, TENSOR);
  if (++operators > MOST_OPERATORS) {
    throw new UnfoldError(`more than ${MOST_OPERATORS} operators are described: does a loop in forward end?`);
  }
  const node = apply(name, inputs, options);
  if (node.type.shape.length > 8) {
    throw new UnfoldError(`${node.name}: ${node.type.shape.length} axes; TensorRT has at most 8`);
  }
  return node;
}
