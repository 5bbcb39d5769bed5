/** Which nodes normalize, and which belong together: run-time statistics with the gain and shift behind. */
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

/** What an operator with run-time statistics, or a nonlinearity instead, says of itself; else undefined. */
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

/** Whether a node is a remaining normalization; a gain and shift counts with the statistics it follows. */
export function isNorm(node: Node): boolean {
  return onlineOf(node) !== undefined || (isOp(node, "channel_affine") && statisticsOf(node) === null);
}

/** Why a normalization's run-time part stays: its family's reason if it has no operator of its own. */
export function whyOnline(statistics: Node, family: string): string {
  const online = NORMS[family as NormFamily].online;
  return online !== undefined && online.operator === undefined ? online.why : onlineOf(statistics)!.why;
}
