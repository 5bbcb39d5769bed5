/** The order of the passes. */
import { type Graph, topological } from "../ir/graph.ts";
import { moveAttentionBiases } from "./attention/attention_bias.ts";
import { applyRules, type Rule } from "./driver.ts";
import { foldConstants } from "./tidy/fold_constants.ts";
import { foldNorm, type NormFold } from "./fold/fold_norm.ts";
import { LINEAR_OF_MATMUL } from "./tidy/linear_of_matmul.ts";
import { mergeLinears } from "./tidy/merge_linears.ts";
import { mergeQkv } from "./attention/merge_qkv.ts";
import { narrow } from "./tidy/narrow.ts";
import { isNorm } from "./fold/norm_nodes.ts";
import { centreStream, compressStream, type LayerNormForm } from "./fold/recentre.ts";
import { REJOIN_NORM } from "./fold/rejoin_norm.ts";
import { shareConstants } from "./tidy/share_constants.ts";
import { shiftStream } from "./fold/shift_stream.ts";
import { SIMPLIFY } from "./tidy/simplify.ts";
import { verifyGraph } from "./verify.ts";

/** What one pass did, for traces and reports. */
export interface PassTrace {
  readonly pass: string;
  readonly nodesBefore: number;
  readonly nodesAfter: number;
  readonly detail: string;
}

/** A graph whose normalizations have been folded, and nothing else. */
export interface Folded {
  /** Its products still under their own names: what `norms` speaks of. */
  readonly folded: Graph;
  readonly norms: readonly NormFold[];
  readonly trace: readonly PassTrace[];
}

export interface Optimized extends Folded {
  readonly graph: Graph;
}

export interface OptimizeOptions {
  /**
   * The form Layer Normalization is compiled in, where the network allows it: as it is, as RMSNorm of a centred residual
   * stream, or as CRMSNorm of one channel less. All mean the same.
   */
  readonly layerNorm?: LayerNormForm;
}

/** Runs passes one after the other, verifies the graph after each and keeps a trace. */
class Line {
  graph: Graph;
  readonly trace: PassTrace[];

  constructor(graph: Graph, trace: readonly PassTrace[] = []) {
    this.graph = graph;
    this.trace = [...trace];
  }

  /** @param run gives the new graph, and with it whatever `detail` speaks of */
  step<Result extends { graph: Graph }>(
    pass: string,
    run: (graph: Graph) => Result,
    detail: (result: Result) => string,
  ): Result {
    const nodesBefore = topological(this.graph).length;
    const result = run(this.graph);
    verifyGraph(result.graph, pass);
    this.graph = result.graph;
    this.trace.push({
      pass,
      nodesBefore,
      nodesAfter: topological(this.graph).length,
      detail: detail(result),
    });
    return result;
  }

  rules(name: string, list: readonly Rule[]): void {
    this.step(name, (graph) => applyRules(graph, list), ({ firings }) => {
      const fired = Object.entries(firings).map(([rule, n]) => `${rule} ${n}`);
      return fired.join(", ") || "nothing to do";
    });
  }

  constants(): void {
    this.step("foldConstants", foldConstants, ({ folded }) => `${folded} nodes computed`);
  }
}

/** Folds a traced graph's normalizations; reads no weight but vectors. */
export function foldNorms(graph: Graph, { layerNorm = "layer" }: OptimizeOptions = {}): Folded {
  verifyGraph(graph, "trace");
  const line = new Line(graph);
  // A normalization folds into a weight that is known, so into `W - mean W` only once that is a constant.
  line.constants();
  line.rules("linearOfMatmul", [LINEAR_OF_MATMUL]);
  if (layerNorm !== "layer") {
    line.step(
      "centreStream",
      centreStream,
      ({ centred }) => `${centred} Layer Normalizations without a mean`,
    );
  }
  line.step("shiftStream", shiftStream, ({ shifted }) => `${shifted} normalizations without a shift`);
  const { norms } = line.step(
    "foldNorm",
    foldNorm,
    ({ norms }) => `${norms.filter(({ folded }) => folded).length} of ${norms.length} folded`,
  );
  if (layerNorm === "crms") {
    line.step(
      "compressStream",
      compressStream,
      ({ compressed }) => `${compressed} normalizations of one channel less`,
    );
  }
  return { folded: line.graph, norms, trace: line.trace };
}

/**
 * Folds, merges and cleans a traced graph. The reference network goes through the same passes; only what an online
 * normalization does not allow is not done to it.
 */
export function optimize(graph: Graph, options: OptimizeOptions = {}): Optimized {
  const { folded, norms, trace } = foldNorms(graph, options);
  const line = new Line(folded, trace);
  line.rules("rejoinNorm", REJOIN_NORM);
  line.step("moveAttentionBiases", moveAttentionBiases, ({ moved }) => `${moved} biases of k and v gone`);
  line.step("narrow", narrow, ({ narrowed }) => `${narrowed} nodes compute less`);
  line.step("mergeLinears", mergeLinears, ({ merged }) => `${merged} products merged away`);
  line.step("mergeQkv", mergeQkv, ({ merged }) => `${merged} products merged away`);
  line.constants();
  line.rules("simplify", SIMPLIFY);
  line.step("shareConstants", shareConstants, ({ shared }) => `${shared} constants shared`);
  return { graph: line.graph, folded, norms, trace: line.trace };
}

/** Normalizations still in a graph. */
export function remainingNorms(graph: Graph): number {
  return topological(graph).filter(isNorm).length;
}
