/** The passes that every backend's graph goes through, and the order in which it does. */
import { type Graph, topological } from "../ir/graph.ts";
import { isNorm } from "./fold/norm_nodes.ts";
import { type OptimizeOptions, type Pass, type Pipeline, type Run, runPipeline } from "./pass.ts";
import { PASSES } from "./passes.ts";
import { keepPrecision, type KeptScopes } from "./precision/keep.ts";
import { FOLDED, OPTIMIZED, STANDARD } from "./spec.ts";
import { verifyGraph } from "./verify.ts";

export type { OptimizeOptions, PassTrace } from "./pass.ts";

/** Normalizations go; no weight but vectors is read. */
export const FOLD: Pipeline = {
  name: "fold",
  takes: STANDARD,
  passes: [
    // A normalization folds into a weight that is known, so into `W - mean W` only once that is a constant.
    PASSES.foldConstants,
    PASSES.linearOfMatmul,
    PASSES.centreStream,
    PASSES.shiftStream,
    PASSES.foldNorm,
    PASSES.compressStream,
  ],
  leaves: FOLDED,
};

/** Merges products and removes leftovers; the reference goes through it too where its norms allow it. */
export const COMMON: Pipeline = {
  name: "common",
  takes: STANDARD,
  passes: [
    PASSES.rejoinNorm,
    PASSES.moveAttentionBiases,
    PASSES.narrow,
    PASSES.mergeLinears,
    PASSES.mergeQkv,
    PASSES.foldConstants,
    PASSES.simplify,
    PASSES.shareConstants,
  ],
  leaves: OPTIMIZED,
};

/** A graph whose normalizations have been folded, and nothing else. */
export interface Folded extends Pick<Run, "norms" | "trace"> {
  /** Its products still under their own names: what `norms` speaks of. */
  readonly folded: Graph;
}

export interface Optimized extends Folded {
  readonly graph: Graph;
  /** What `keep` came to, one by one. */
  readonly kept: readonly KeptScopes[];
}

/** Folds a traced graph's normalizations. */
export function foldNorms(graph: Graph, options: OptimizeOptions = {}): Folded {
  verifyGraph(graph, "trace");
  const { graph: folded, norms, trace } = runPipeline(graph, FOLD, options);
  return { folded, norms, trace };
}

/**
 * Folds, merges and cleans a traced graph, and casts to what is to be kept in another type.
 *
 * @throws {UnfoldError} `keep` names what there is not
 */
export function optimize(traced: Graph, options: OptimizeOptions = {}): Optimized {
  const { folded, norms, trace } = foldNorms(traced, options);
  const common = runPipeline(folded, COMMON, options);
  const { keep = [] } = options;
  const untyped = { ...common, folded, norms, kept: [], trace: [...trace, ...common.trace] };
  if (keep.length === 0) return untyped;
  let kept: readonly KeptScopes[] = [];
  const keepPass: Pass = {
    name: "keepPrecision",
    law: "f(x) = cast(f(cast(x))), rounded elsewhere",
    run: (graph) => {
      const result = keepPrecision(graph, keep, { traced, norms });
      ({ kept } = result);
      return result;
    },
  };
  const typed = runPipeline(common.graph, { ...COMMON, name: "keep", passes: [keepPass, PASSES.simplify] });
  return { ...untyped, graph: typed.graph, kept, trace: [...untyped.trace, ...typed.trace] };
}

/** Normalizations still in a graph. */
export function remainingNorms(graph: Graph): number {
  return topological(graph).filter(isNorm).length;
}
