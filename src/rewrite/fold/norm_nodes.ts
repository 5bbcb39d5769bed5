/** Which nodes normalize, and which belong together: statistics at run time and the gain and shift behind them. */
import type { Node } from "../../ir/graph.ts";
import { statisticsName } from "../../norms/define.ts";
import { isOp } from "../../ops/table.ts";

const STATISTICS = "its statistics depend on the input";

/** Operators with statistics at run time, or a nonlinearity in their place: the family they are of, and why they stay. */
export const ONLINE: Readonly<Record<string, { readonly family: string; readonly why: string }>> = {
  layer_norm: { family: "ln", why: `${STATISTICS} (each token's mean and variance)` },
  rms_norm: { family: "rms", why: `${STATISTICS} (each token's quadratic mean)` },
  group_norm: { family: "gn", why: `${STATISTICS} (each group's mean and variance)` },
  dynamic_tanh: { family: "dyt", why: "its tanh is not linear" },
};

/** The run-time part in front of the gain and shift of one normalization; null where there is none. */
export function statisticsOf(affine: Node): Node | null {
  const [x] = affine.inputs;
  return isOp(affine, "channel_affine") && x!.op in ONLINE && x!.name === statisticsName(affine.name)
    ? x!
    : null;
}

/** Whether a node is what is left of a normalization; a gain and shift counts with the statistics in front of it. */
export function isNorm(node: Node): boolean {
  return node.op in ONLINE || (isOp(node, "channel_affine") && statisticsOf(node) === null);
}

/** Why the run-time part of a normalization stays. */
export function whyOnline(statistics: Node, family: string): string {
  return family === "pngs"
    ? "its GroupScaling, which its paper does not have, depends on the input"
    : ONLINE[statistics.op]!.why;
}
