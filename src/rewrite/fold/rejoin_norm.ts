/**
 * A gain and shift that did not fold goes back into the normalization in front of it, whose operator applies it for
 * nothing.
 */
import type { Node } from "../../ir/graph.ts";
import { affineOf } from "../../ops/channel_affine.ts";
import { apply, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { statisticsOf } from "./norm_nodes.ts";

export const REJOIN_NORM: readonly Rule[] = [
  withGainAndBias("layer_norm", "layer-norm-with-gain"),
  withGainAndBias("group_norm", "group-norm-with-gain"),
  {
    name: "rms-norm-with-gain",
    law: "g rms_norm(x) = rms_norm(x; g)",
    rewrite: (node) => {
      const bare = bareNorm(node);
      if (bare === null || !isOp(bare, "rms_norm") || affineOf(node)?.shift.some((t) => t !== 0)) return null;
      return apply("rms_norm", [bare.inputs[0]!, node.inputs[1]!], { attrs: bare.attrs, name: node.name });
    },
  },
];

/** Of an operator that applies a gain and a bias of its own. */
function withGainAndBias(op: "layer_norm" | "group_norm", name: string): Rule {
  return {
    name,
    law: `g ${op}(x) + b = ${op}(x; g, b)`,
    rewrite: (node) => {
      const bare = bareNorm(node);
      if (bare === null || !isOp(bare, op)) return null;
      return apply(op, [bare.inputs[0]!, ...node.inputs.slice(1)], { attrs: bare.attrs, name: node.name });
    },
  };
}

/** The statistics, without a gain of their own, that a constant gain and shift over the channels stands behind. */
function bareNorm(node: Node): Node | null {
  const statistics = statisticsOf(node);
  if (statistics === null || statistics.inputs.length !== 1) return null;
  const affine = affineOf(node);
  return affine !== null && affine.axis === node.type.shape.length - 1 && !affine.centred ? statistics : null;
}
