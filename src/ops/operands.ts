/**
 * An operator's operands: their names in order, and the types and checks that follow. A name is an operand
 * that must be given; names in brackets may be left out, together; a last name `...xs` stands for one operand
 * or more: `["x", "weight", ["bias"]]`, `["x", ["gain", "bias"]]`, `["...parts"]`.
 */
import type { TensorType } from "../ir/graph.ts";
import { showShape } from "../ir/shape.ts";

export type Operands = readonly (string | readonly string[])[];

/** One `T` for each operand. Those left out are missing at the end of the list, or `Absent`. */
export type Inputs<O extends Operands, T, Absent = undefined> = O extends
  readonly [infer First, ...infer Rest extends Operands] ? First extends `...${string}` ? readonly [T, ...T[]]
  : First extends readonly [string] ? readonly [(T | Absent)?, ...Inputs<Rest, T, Absent>]
  : First extends readonly string[] ? Together<First, T, Absent>
  : readonly [T, ...Inputs<Rest, T, Absent>]
  : O extends readonly [] ? readonly []
  : readonly T[];

/** All of several or none, which only last operands are. */
type Together<Names extends readonly string[], T, Absent> =
  | { readonly [I in keyof Names]: T }
  | { readonly [I in keyof Names]?: Absent };

/** What does not fit about operands, in words that fit behind the operator's name. */
export class Misfit extends Error {}

/** Of an operator's operands, once for all its nodes: refuses a number of them that it does not have. */
export function countCheck(operands: Operands): (count: number) => void {
  const counts = countsOf(operands);
  const isOpen = operands.some((operand) => typeof operand === "string" && isVariadic(operand));
  return (count) => {
    if (!counts.includes(count) && !(isOpen && count > counts[0]!)) {
      throw wrongCount(operands, { counts, isOpen, count });
    }
  };
}

function wrongCount(
  operands: Operands,
  { counts, isOpen, count }: { counts: readonly number[]; isOpen: boolean; count: number },
): Misfit {
  const taken = isOpen ? `${counts[0]} or more` : counts.join(" or ");
  const noun = taken === "1" ? "operand" : "operands";
  const named = operands.map((operand) => typeof operand === "string" ? operand : `[${operand.join(", ")}]`);
  return new Misfit(
    `it takes ${taken} ${noun}${named.length > 0 ? ` (${named.join(", ")})` : ""}, not ${count}`,
  );
}

/** The numbers of operands there can be; of a variadic operator the lowest. */
function countsOf(operands: Operands): readonly number[] {
  const counts = [operands.filter((operand) => typeof operand === "string").length];
  for (const operand of operands) {
    if (typeof operand !== "string") counts.push(counts.at(-1)! + operand.length);
  }
  return counts;
}

/** Where an operand stands among the inputs; -1 where the operator has none of that name. */
export function positionOf(operands: Operands, name: string): number {
  return operands.flat().indexOf(name);
}

/** Types under the operands' names: `x fp32[2, 4], weight fp32[3, 4]`. */
export function showOperands(operands: Operands, types: readonly TensorType[]): string {
  const names = operands.flat();
  const nameOf = (i: number) => {
    const last = names.at(-1);
    return last !== undefined && isVariadic(last) && i >= names.length - 1
      ? `${last.slice(3)}[${i - names.length + 1}]`
      : names[i];
  };
  return types.map((type, i) => `${nameOf(i) ?? ""} ${showType(type)}`.trimStart()).join(", ");
}

export function showType(type: TensorType): string {
  return `${type.dtype}${showShape(type.shape)}`;
}

const isVariadic = (name: string) => name.startsWith("...");
