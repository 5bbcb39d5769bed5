/**
 * Passes as records, and the one way to run them. A pipeline is a table of passes with what may stand in a
 * graph before and after it; the graph is verified after each pass, so that a broken pass is found where it
 * broke, and a trace tells what each pass did.
 */
import type { Keep } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { type Graph, topological } from "../ir/graph.ts";
import { applyRules, type Rule } from "./driver.ts";
import type { NormFold } from "./fold/fold_norm.ts";
import type { LayerNormForm } from "./fold/recentre.ts";
import { settled } from "./followed.ts";
import { offence, type Spec } from "./spec.ts";
import { verifyGraph } from "./verify.ts";

/** A pass's result: the graph, the fold's account of each normalization, and any number of figures. */
export interface PassResult {
  readonly graph: Graph;
  readonly norms?: readonly NormFold[];
  readonly [figure: string]: unknown;
}

/** How a graph is optimized. */
export interface OptimizeOptions {
  /**
   * The form Layer Normalization is compiled in, where the network allows it: as it is, as RMSNorm of a
   * centred residual stream, or as CRMSNorm of one channel less. All mean the same.
   */
  readonly layerNorm?: LayerNormForm;
  /** What of a network of fp16 or bf16 is kept in another type; in fp32 it has no effect. */
  readonly keep?: Keep | undefined;
}

/** A step from graph to graph that keeps the meaning, or says in its law how it does not. */
export interface Pass {
  readonly name: string;
  /** The equation, or what holds of the result, in one line. */
  readonly law: string;
  readonly run: (graph: Graph) => PassResult;
  /** Where it is right, and worth it; everywhere unless given. */
  readonly when?: (graph: Graph, options: OptimizeOptions) => boolean;
}

export interface Pipeline {
  readonly name: string;
  readonly takes: Spec;
  readonly passes: readonly Pass[];
  readonly leaves: Spec;
  /** Of which graphs it makes anything; of all unless given. */
  readonly when?: (graph: Graph) => boolean;
}

/** What one pass did. */
export interface PassTrace {
  /** The table that the pass stands in: "fold", "tensorrt". */
  readonly pipeline: string;
  /** Its name. */
  readonly pass: string;
  /** The equation it keeps, or what holds of the result. */
  readonly law: string;
  /** What it counted, by its own words: `{ merged: 3 }`; of rules how often each fired. */
  readonly figures: Readonly<Record<string, number>>;
  /** Nodes of the graph it was given. */
  readonly nodesBefore: number;
  /** Nodes of the graph it gave. */
  readonly nodesAfter: number;
  /** How long it took. */
  readonly ms: number;
}

/** What a pipeline gives. */
export interface Run {
  readonly graph: Graph;
  readonly norms: readonly NormFold[];
  readonly trace: readonly PassTrace[];
}

/** Rules as one pass, which counts the firings of each. */
export function rulesPass(law: string, rules: readonly Rule[]): Omit<Pass, "name"> {
  return {
    law,
    run: (graph) => {
      const { graph: result, firings } = applyRules(graph, rules);
      return { ...firings, graph: result };
    },
  };
}

/**
 * Runs a table of passes.
 *
 * @throws {UnfoldError} a graph that the pipeline does not take
 * @throws {Error} a pass left what must not be there, which is a defect of the pass
 */
export function runPipeline(graph: Graph, pipeline: Pipeline, options: OptimizeOptions = {}): Run {
  const { name: table, takes, passes, leaves, when } = pipeline;
  const refused = offence(graph, takes);
  if (refused !== null) throw new UnfoldError(`${graph.name}: ${refused}, which ${table} does not take`);
  let norms: readonly NormFold[] = [];
  const trace: PassTrace[] = [];
  if (when?.(graph) === false) return { graph, norms, trace };
  for (const pass of passes) {
    if (pass.when?.(graph, options) === false) continue;
    const nodesBefore = topological(graph).length;
    const started = performance.now();
    const result = pass.run(graph);
    const ms = performance.now() - started;
    verifyGraph(result.graph, pass.name);
    graph = settled(result.graph);
    norms = result.norms ?? norms;
    const figures = Object.fromEntries(
      Object.entries(result).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
    );
    const { name, law } = pass;
    trace.push({
      pipeline: table,
      pass: name,
      law,
      figures,
      nodesBefore,
      nodesAfter: topological(graph).length,
      ms,
    });
  }
  const problem = offence(graph, leaves, norms);
  if (problem !== null) throw new Error(`${graph.name} after ${table}: ${problem}`);
  return { graph, norms, trace };
}
