/**
 * What exporters write out becomes what the DSL writes: the passes that an imported graph goes through before
 * anything else sees it. Each law is exact, and what no law knows stays as plain operators.
 */
import type { Pipeline } from "../pass.ts";
import { PASSES } from "../passes.ts";
import { STANDARD } from "../spec.ts";

/** Forms that only exporters have are gone; nothing is folded yet. */
export const RECOGNISE: Pipeline = {
  name: "recognise",
  takes: STANDARD,
  passes: [
    PASSES.foldConstants,
    PASSES.shareNodes,
    PASSES.recogniseParts,
    PASSES.regroupRows,
    PASSES.recogniseAttention,
    // Sums of masks that are known, and then what they are.
    PASSES.foldConstants,
    PASSES.recogniseAttention,
    // Gains of heads stand in front of attentions, which are to be found first.
    PASSES.recogniseAffines,
    PASSES.recogniseOrders,
    PASSES.carryOrders,
    PASSES.shareConstants,
    PASSES.shareNodes,
    PASSES.foldConstants,
    PASSES.simplify,
  ],
  leaves: STANDARD,
};
