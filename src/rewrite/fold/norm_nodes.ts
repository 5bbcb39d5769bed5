/**
 * Which nodes normalize, and which belong together: statistics at run time and the gain and shift behind
 * them.
 */
import type { Node } from "../../ir/graph.ts";
import type { StatisticsOp } from "../../norms/define.ts";
import type { NormId } from "../../ops/define.ts";
import { isOp } from "../../ops/table.ts";

interface Online {
  /** The family it is of where no gain and shift says so. */
  readonly family: string;
  readonly why: string;
  /** What the operator applies for nothing; null of one that has no place for it. */
  readonly own: "gain and shift" | "gain" | null;
}

const STATISTICS = "its statistics depend on the input";

/** The run-time parts of normalizations, and why they stay. */
export const ONLINE: Readonly<Record<StatisticsOp, Online>> = {
  layer_norm: {
    family: "ln",
    why: `${STATISTICS} (each token's mean and variance)`,
    own: "gain and shift",
  },
  rms_norm: { family: "rms", why: `${STATISTICS} (each token's quadratic mean)`, own: "gain" },
  group_norm: {
    family: "gn",
    why: `${STATISTICS} (each group's mean and variance)`,
    own: "gain and shift",
  },
  dynamic_tanh: { family: "dyt", why: "its tanh is not linear", own: null },
};

/**
 * What is said of a node that has statistics at run time, or a nonlinearity in their place; undefined of
 * others.
 */
export function onlineOf(node: Node): Online | undefined {
  return ONLINE[node.op as StatisticsOp];
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

/** Why the run-time part of a normalization stays. */
export function whyOnline(statistics: Node, family: string): string {
  return family === "pngs"
    ? "its GroupScaling, which its paper does not have, depends on the input"
    : onlineOf(statistics)!.why;
}
