/**
 * The form of an optimized graph that OpenVINO's CPU plugin runs fastest, in the standard's operators, so
 * that the file is for any tool; its meaning is the same. The plugin fuses attention and activations itself;
 * the passes here do what it does not, for the reference network too where they are valid.
 */
import type { Pipeline } from "../pass.ts";
import { PASSES } from "../passes.ts";
import { OPTIMIZED, STANDARD } from "../spec.ts";

export const OPENVINO: Pipeline = {
  name: "openvino",
  takes: STANDARD,
  passes: [
    // OpenVINO scales a separate q within its product; a packed one needs a pass over q: 0.995 of the time.
    PASSES.scaleQueries,
    PASSES.averageEarly,
    PASSES.deferBiases,
    PASSES.padHidden,
    PASSES.foldConstants,
  ],
  leaves: OPTIMIZED,
};
