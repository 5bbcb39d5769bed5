/**
 * Which nodes normalize, and which belong together: statistics at run time and the gain and shift behind
 * them.
 */
import type { Node } from "../../ir/graph.ts";
import type { StatisticsOp } from "../../norms/define.ts";
import { FAMILIES, type NormFamily, NORMS } from "../../norms/families.ts";
import type { NormId } from "../../ops/define.ts";
import { isOp, OPS } from "../../ops/table.ts";

/** The run-time part of normalizations that one operator computes. */
export interface OnlinePart {
  readonly operator: StatisticsOp;
  /** The family it is of where no gain and shift says so. */
  readonly family: string;
  /** Why it stays. */
  readonly why: string;
  /** What the operator applies for nothing, by its operands' names: "gain", "bias". */
  readonly applies: readonly string[];
}

export const ONLINE: readonly OnlinePart[] = FAMILIES.flatMap(({ word: family, online }) => {
  const { why, operator } = online ?? {};
  return why === undefined || operator === undefined
    ? []
    : [{ operator, family, why, applies: OPS[operator].operands.flat() }];
});

/**
 * What is said of a node that has statistics at run time, or a nonlinearity in their place; undefined of
 * others.
 */
export function onlineOf(node: Node): OnlinePart | undefined {
  return ONLINE.find(({ operator }) => operator === node.op);
}

/** The normalization a node is part of; undefined of one that is by itself, and of other nodes. */
export function normOf(node: Node): NormId | undefined {
  return node.attrs.norm as NormId | undefined;
}

/** The run-time part in front of the gain and shift of one normalization; null where there is none. */
export function statisticsOf(affine: Node): Node | null {
  const [x] = affine.inputs;
  return isOp(affine, "channel_affine") && onlineOf(x!) && normOf(x!) === affine.attrs.norm ? x! : null;
}

/**
 * Whether a node is what is left of a normalization; a gain and shift counts with the statistics in front of
 * it.
 */
export function isNorm(node: Node): boolean {
  return onlineOf(node) !== undefined || (isOp(node, "channel_affine") && statisticsOf(node) === null);
}

/**
 * Why the run-time part of a normalization stays: of a family without an operator of its own, what that
 * family says.
 */
export function whyOnline(statistics: Node, family: string): string {
  const own = NORMS[family as NormFamily].online;
  return own !== undefined && own.operator === undefined ? own.why : onlineOf(statistics)!.why;
}
