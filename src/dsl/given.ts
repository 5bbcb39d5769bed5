/** What the DSL is given besides numbers and names: tensors and scopes. */
import { argument, type Kind, listOf, TEXT } from "../ir/given.ts";
import { Scope } from "./scope.ts";
import { TENSOR, type Tensor } from "./tensor.ts";

/** What is told of a scope where one is asked for. */
export const SCOPE: Kind = { words: 'a scope, as p.at("name")', is: (value) => value instanceof Scope };
/** The names of three products. */
export const THREE_NAMES: Kind = listOf(TEXT, 3);

/** What a layer is called in messages, its tensor and scope being what they should be. */
export function layer(name: string, x: Tensor, p: Scope): string {
  argument(`${name}: the scope`, p, SCOPE);
  const what = p.path === "" ? name : `${p.path}: ${name}`;
  argument(`${what}: x`, x, TENSOR);
  return what;
}
