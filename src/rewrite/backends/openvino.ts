/**
 * The form of an optimized graph that OpenVINO's CPU plugin runs fastest, in the standard's operators, so that the file is
 * for any tool; its meaning is the same. The plugin finds fused attention and activations by itself; what it does not do is
 * here, and done to the reference network as well, where it is valid there.
 */
import type { Graph } from "../../ir/graph.ts";
import { averageEarly } from "../channels/average_early.ts";
import { deferBiases } from "../channels/defer_biases.ts";
import { passOf, runPasses } from "../driver.ts";
import { foldConstants } from "../tidy/fold_constants.ts";
import { padHidden } from "../channels/pad_hidden.ts";
import { scaleQueries } from "../attention/scale_queries.ts";

export function lowerForOpenVino(graph: Graph): Graph {
  return runPasses(graph, [
    // An exporter's separate q takes the factor in by itself; a packed product leaves a pass over q: 0.995 of the time.
    passOf(scaleQueries),
    passOf(averageEarly),
    passOf(deferBiases),
    passOf(padHidden),
    passOf(foldConstants),
  ]);
}
