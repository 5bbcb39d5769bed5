/**
 * Text of a script that is not finished: values of the network and scopes stand in it as themselves until it
 * is known how they are called where the text comes to stand.
 */
import type { Node } from "../ir/graph.ts";

/** A value that is no tensor, in front of all others under a name: a grid, an order of tokens. */
export interface Definition {
  readonly called: string;
  readonly definition: Phrase;
}

/** A value, or a scope by its path, "" being the root. */
export type Part = string | { readonly node: Node } | { readonly scope: string } | Definition;
export type Phrase = readonly Part[];

/** A phrase with values in it: ``phrase`${x}.add(${y})` ``; numbers and texts as JSON has them. */
export function phrase(strings: TemplateStringsArray, ...values: readonly (Phrase | Part)[]): Phrase {
  return strings.flatMap((text, i): Part[] => {
    const value = values[i];
    return [text, ...(value === undefined ? [] : Array.isArray(value) ? value as Part[] : [value as Part])];
  }).filter((part) => part !== "");
}

/** Numbers, texts and lists as a script has them. */
export function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "number") return JSON.stringify(value);
  if (Object.is(value, -0)) return "-0";
  return Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential() : String(value);
}

/** An object of options; those that are undefined are left out, and an object of none is no argument. */
export function options(entries: Readonly<Record<string, Phrase | undefined>>): Phrase {
  const given = Object.entries(entries).filter((entry): entry is [string, Phrase] => entry[1] !== undefined);
  if (given.length === 0) return [];
  return [", { ", ...listed(given.map(([key, value]) => [`${key}: `, ...value])), " }"];
}

/** Phrases with commas between. */
export function listed(phrases: readonly Phrase[]): Phrase {
  return phrases.flatMap((each, i) => i === 0 ? each : [", ", ...each]);
}

/** The option where it is not what holds unless said. */
export const unless = (usual: unknown, value: unknown): Phrase | undefined =>
  literal(usual) === literal(value) ? undefined : [literal(value)];

/** "blocks.0.attn" of "blocks.0.attn.qkv". */
export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf(".")));

/** "attn.qkv" of "blocks.0.attn.qkv" in the scope "blocks.0". */
export const relative = (scope: string, path: string): string =>
  scope === "" ? path : path.slice(scope.length + 1);

/** The longest scope that all paths lie in. */
export function commonScope(paths: readonly string[]): string {
  return paths.reduce((common, path) => {
    const [a, b] = [common.split("."), path.split(".")];
    const end = a.findIndex((part, i) => part !== b[i]);
    return (end < 0 ? a : a.slice(0, end)).join(".");
  });
}
