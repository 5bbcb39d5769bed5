/**
 * What folding does to a network, without building it: each normalization's fate, and how far an output can
 * move because the weights that took it in are rounded. And each fate in one word, for every network and
 * family.
 */
import { quantizationOf } from "../checkpoints/recognised.ts";
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import type { Precision } from "../ir/dtype.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import type { Norm } from "../norms/families.ts";
import { dataOf } from "../ops/constant.ts";
import { foldErrorBound } from "../weights/derived/fold.ts";
import { isOp } from "../ops/table.ts";
import type { NormFold } from "../rewrite/fold/fold_norm.ts";
import type { PassTrace } from "../rewrite/pass.ts";
import { foldNorms, type OptimizeOptions, remainingNorms } from "../rewrite/pipeline.ts";
import { randomWeights, type WeightHint, type WeightSource } from "../weights/mod.ts";
import { chooseWeights, type WeightOptions } from "./networks.ts";

/** One normalization in an audit. */
export interface AuditedNorm extends NormFold {
  /**
   * By how much of its deviation an output of the products that took it in can move, since their weights are
   * rounded once (`foldErrorBound`); null where nothing took it in.
   */
  readonly errorBound: number | null;
}

/** Where each normalization of a network goes, without anything being built. */
export interface Audit {
  /** The model's name. */
  readonly model: string;
  /** The normalization it was folded with. */
  readonly family: string;
  /** The precision it was folded for. */
  readonly precision: Precision;
  /** The layout that the checkpoint was recognised as; null where the model came by itself. */
  readonly layout: string | null;
  /** What the file has in few bits, in sentences. */
  readonly quantized: readonly string[];
  /** Where the weights came from, and whether they were trained with this normalization. */
  readonly weights: string;
  /** Whether the weights were trained with this normalization. */
  readonly trained: boolean;
  /** Normalizations of the network. */
  readonly found: number;
  /** Of them, those that are gone. */
  readonly folded: number;
  /** Of them, those that stay, whole or in part. */
  readonly remaining: number;
  /** One by one, in the order of the network. */
  readonly norms: readonly AuditedNorm[];
  /** What the compiler did for it. */
  readonly passes: readonly PassTrace[];
}

/**
 * Folds a model and looks at the result; nothing is emitted.
 *
 * @throws {UnfoldError} weights that do not fit
 */
export function auditModel(
  model: Model,
  { norm, precision, layerNorm = "layer", onProgress, ...weightOptions }: WeightOptions & OptimizeOptions & {
    readonly norm: Norm;
    readonly precision: Precision;
    /** The share of the work that is done. */
    readonly onProgress?: (fraction: number) => void;
  },
): Audit {
  const weights = chooseWeights(model, norm, weightOptions);
  const traced = model.trace({ weights: weights.open(), precision, norm });
  const { folded, norms, trace } = foldNorms(traced, { layerNorm });
  const products = productsOf(folded);
  const bounds = new Map<Node, number | null>();
  const boundOf = (node: Node): number | null => {
    if (!bounds.has(node)) {
      bounds.set(node, foldErrorBound(dataOf(node.inputs[1]!), precision));
      onProgress?.(bounds.size / products.size);
    }
    return bounds.get(node)!;
  };
  const audited = norms.map((fold): AuditedNorm => {
    const bounds = fold.into.flatMap((name) => products.get(name) ?? []).map(boundOf).filter((b) =>
      b !== null
    );
    return { ...fold, errorBound: bounds.length === 0 ? null : Math.max(...bounds) };
  });
  return {
    model: model.name,
    family: norm.family,
    precision,
    layout: weightOptions.recognised?.format ?? null,
    quantized: weightOptions.recognised ? quantizationOf(weightOptions.recognised) : [],
    weights: weights.origin,
    trained: weights.trained,
    found: norms.length,
    folded: norms.filter(({ folded }) => folded).length,
    remaining: remainingNorms(folded),
    norms: audited,
    passes: trace,
  };
}

/** Linears and convolutions of constant weight, by name. */
function productsOf(graph: Graph): ReadonlyMap<string, Node[]> {
  const products = topological(graph).filter((node) =>
    (isOp(node, "linear") || isOp(node, "conv")) && node.inputs[1].op === "constant"
  );
  return Map.groupBy(products, ({ name }) => name);
}

/** How far a network folds. */
export type Foldability = "folded" | "partly" | "kept";

export interface ModelSummary {
  /** Elements of all parameters, tied ones once. */
  readonly parameters: number;
  /** By family: `partly` where gains and shifts fold and statistics stay, `kept` where a norm stays whole. */
  readonly families: Readonly<Record<string, Foldability | { readonly refused: string }>>;
}

/** Folds a model with each of `norms` and random weights, which are not made. */
export function summarizeModel(model: Model, norms: readonly Norm[]): ModelSummary {
  let parameters = 0;
  const families: Record<string, Foldability | { readonly refused: string }> = {};
  for (const norm of norms) {
    const counted = countingWeights();
    try {
      families[norm.family] = foldability(foldNorms(model.trace({ weights: counted.weights, norm })).norms);
    } catch (error) {
      if (!(error instanceof UnfoldError)) throw error;
      families[norm.family] = { refused: error.message };
    }
    if (norm.family === model.norm.family) parameters = counted.count();
  }
  return { parameters, families };
}

function foldability(norms: readonly NormFold[]): Foldability {
  if (norms.every(({ folded }) => folded)) return "folded";
  return norms.some(({ folded, into }) => folded || into.length > 0) ? "partly" : "kept";
}

function countingWeights(): { weights: WeightSource; count(): number } {
  const random = randomWeights({ seed: 0 });
  const sizes = new Map<string, number>();
  const weights: WeightSource = {
    ...random,
    origin: random.origin,
    take: (name: string, shape: readonly number[], hint: WeightHint) => {
      sizes.set(name, shape.reduce((a, b) => a * b, 1));
      return random.take(name, shape, hint);
    },
    unused: () => [],
  };
  return { weights, count: () => [...sizes.values()].reduce((a, b) => a + b, 0) };
}
