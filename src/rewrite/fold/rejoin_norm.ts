/** A gain and shift that did not fold goes back into the normalization before it, which applies it free. */
import type { StatisticsOp } from "../../norms/define.ts";
import { affineOf } from "../../ops/channel_affine.ts";
import { apply, type AttrsOf } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";
import { ONLINE, type OnlinePart, statisticsOf } from "./norm_nodes.ts";

export const REJOIN_NORM: readonly Rule[] = ONLINE.filter(({ applies }) => applies.includes("gain")).map(
  rejoin,
);

function rejoin({ operator: op, applies }: OnlinePart): Rule {
  const hasShift = applies.includes("bias");
  return {
    name: `${op.replace("_", "-")}-with-gain`,
    law: hasShift ? `g ${op}(x) + b = ${op}(x; g, b)` : `g ${op}(x) = ${op}(x; g)`,
    rewrite: (node) => {
      const statistics = statisticsOf(node);
      if (statistics?.op !== op || statistics.inputs.length !== 1) return null;
      const affine = affineOf(node);
      if (affine === null || affine.axis !== node.type.shape.length - 1 || affine.centred) return null;
      if (!hasShift && affine.shift.some((t) => t !== 0)) return null;
      const [, gain, shift] = node.inputs;
      const inputs = [statistics.inputs[0]!, gain!, ...(hasShift ? [shift!] : [])];
      return apply(op, inputs, { attrs: statistics.attrs as AttrsOf<StatisticsOp>, name: node.name });
    },
  };
}
