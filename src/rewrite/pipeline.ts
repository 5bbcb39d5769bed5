/** The order of the passes. */
import { type Graph, topological } from "../ir/graph.ts";
import { moveAttentionBiases } from "./attention_bias.ts";
import { applyRules, type Rule } from "./driver.ts";
import { foldConstants } from "./fold_constants.ts";
import { foldNorm, type NormFold } from "./fold_norm.ts";
import { LINEAR_OF_MATMUL } from "./linear_of_matmul.ts";
import { mergeQkv } from "./merge_qkv.ts";
import { isNorm } from "./norm_nodes.ts";
import { packHeads } from "./pack_heads.ts";
import { centreStream, compressStream, type LayerNormForm } from "./recentre.ts";
import { REJOIN_NORM } from "./rejoin_norm.ts";
import { shiftStream } from "./shift_stream.ts";
import { SIMPLIFY } from "./simplify.ts";
import { verifyGraph } from "./verify.ts";

/** What one pass did, for traces and reports. */
export interface PassTrace {
  readonly pass: string;
  readonly nodesBefore: number;
  readonly nodesAfter: number;
  readonly detail: string;
}

export interface Optimized {
  readonly graph: Graph;
  /** The graph as the fold left it, its products still under their own names: what `norms` speaks of. */
  readonly folded: Graph;
  readonly norms: readonly NormFold[];
  readonly trace: readonly PassTrace[];
}

export interface OptimizeOptions {
  /**
   * The form Layer Normalization is compiled in, where the network allows it: as it is, as RMSNorm of a centred residual
   * stream, or as CRMSNorm of one channel less. All mean the same.
   */
  readonly layerNorm?: LayerNormForm;
}

/**
 * Folds, merges and cleans a traced graph. The reference network goes through the same passes; only what an online
 * normalization does not allow is not done to it.
 */
export function optimize(graph: Graph, { layerNorm = "layer" }: OptimizeOptions = {}): Optimized {
  const trace: PassTrace[] = [];
  let norms: readonly NormFold[] = [];
  const step = (pass: string, run: (graph: Graph) => { graph: Graph; detail: string }) => {
    const before = topological(graph).length;
    const result = run(graph);
    verifyGraph(result.graph, pass);
    graph = result.graph;
    trace.push({ pass, nodesBefore: before, nodesAfter: topological(graph).length, detail: result.detail });
  };
  const rules = (name: string, list: readonly Rule[]) =>
    step(name, (graph) => {
      const { graph: result, firings } = applyRules(graph, list);
      const fired = Object.entries(firings).map(([rule, n]) => `${rule} ${n}`);
      return { graph: result, detail: fired.join(", ") || "nothing to do" };
    });
  verifyGraph(graph, "trace");
  rules("linearOfMatmul", [LINEAR_OF_MATMUL]);
  let centred: ReadonlySet<string> = new Set();
  if (layerNorm !== "layer") {
    step("centreStream", (graph) => {
      const result = centreStream(graph);
      centred = result.centred;
      return { graph: result.graph, detail: `${centred.size} Layer Normalizations without a mean` };
    });
  }
  step("shiftStream", (graph) => {
    const { graph: result, shifted } = shiftStream(graph);
    return { graph: result, detail: `${shifted} normalizations without a shift` };
  });
  step("foldNorm", (graph) => {
    const result = foldNorm(graph);
    norms = result.norms;
    return {
      graph: result.graph,
      detail: `${norms.filter((n) => n.folded).length} of ${norms.length} folded`,
    };
  });
  if (layerNorm === "crms") {
    step("compressStream", (graph) => {
      const { graph: result, compressed } = compressStream(graph, centred);
      return { graph: result, detail: `${compressed} normalizations of one channel less` };
    });
  }
  const folded = graph;
  rules("rejoinNorm", REJOIN_NORM);
  step("moveAttentionBiases", (graph) => {
    const { graph: result, moved } = moveAttentionBiases(graph);
    return { graph: result, detail: `${moved} biases of k and v gone` };
  });
  step("mergeQkv", (graph) => {
    const { graph: merged, merged: count } = mergeQkv(graph);
    return { graph: merged, detail: `${count} products merged away` };
  });
  step("foldConstants", (graph) => {
    const { graph: result, folded } = foldConstants(graph);
    return { graph: result, detail: `${folded} nodes computed` };
  });
  rules("simplify", SIMPLIFY);
  return { graph, folded, norms, trace };
}

/**
 * The form of an optimized graph that TensorRT compiles best; its meaning is the same. Applied when an engine is built, so
 * the ONNX file keeps the plainer form.
 */
export function lowerForTensorRt(graph: Graph): Graph {
  const lowered = packHeads(graph);
  verifyGraph(lowered, "packHeads");
  return lowered;
}

/** Normalizations still in a graph. */
export function remainingNorms(graph: Graph): number {
  return topological(graph).filter(isNorm).length;
}
