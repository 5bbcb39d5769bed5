/**
 * A traced network as one reads it to write it down: who reads each node, and which constants are parameters,
 * with what the description asked for, since a graph has but their values.
 */
import { elementCount, float64Of, type TensorData } from "../ir/data.ts";
import { isFloat, type Precision } from "../ir/dtype.ts";
import type { Model } from "../dsl/model.ts";
import { type Graph, type Node, topological, type Uses, usesOf } from "../ir/graph.ts";
import type { Norm } from "../norms/families.ts";
import { dataOf } from "../ops/constant.ts";
import { derivationOf } from "../weights/derived/derivation.ts";
import type { WeightHint, WeightSource } from "../weights/source.ts";
import { expressed } from "./expressions.ts";
import { type Norms, normsOf } from "./norms.ts";

/** What was asked of the weights. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly hint: WeightHint;
  readonly data: TensorData;
}

/** A file has its weights: how others are invented does not matter. */
const ANY: WeightHint = { init: "embedding" };

export interface Network {
  readonly model: Model;
  readonly norms: Norms;
  readonly graph: Graph;
  readonly uses: Uses;
  /** By name, those that only normalizations read, too. */
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** Whether a node's element type is the precision that the network is compiled in, rather than fp32. */
  isFloat(node: Node): boolean;
  /** Whether a constant is a number that hides a key, which is another one in narrower types. */
  isHiding(node: Node): boolean;
  /** The parameter whose values a constant has as they are; null of any other node. */
  parameterOf(node: Node | undefined): Parameter | null;
  /** The parameter of that data. */
  parameterOfData(data: TensorData): Parameter | null;
}

/** Traces a model in fp32, and a description in fp16 for what follows the precision. */
export function networkOf(
  model: Model,
  { weights, norm }: { readonly weights: WeightSource; readonly norm: Norm },
): Network {
  const isFromFile = model.origin !== undefined;
  const traced = (precision: Precision) => {
    const parameters = new Map<string, Parameter>();
    const byData = new Map<TensorData, Parameter>();
    /** Matrices whose axes a parameter has swapped. */
    const turned = new Map<TensorData, Parameter>();
    const watched: WeightSource = {
      origin: weights.origin,
      unused: () => weights.unused(),
      take: (name, shape, hint) => {
        const data = weights.take(name, shape, hint);
        const parameter = parameters.getOrInsert(name, { name, shape, hint: isFromFile ? ANY : hint, data });
        byData.set(data, parameter);
        const derivation = derivationOf(data);
        if (derivation?.kind === "transpose") turned.set(derivation.of, parameter);
        return data;
      },
    };
    const parameterOfData = (data: TensorData) => byData.get(data) ?? null;
    const graph = expressed(model.trace({ norm, precision, weights: watched }), {
      nameOf: (data) => parameterOfData(data)?.name ?? null,
      turnedOf: (data) => turned.get(data)?.data ?? null,
    });
    return { graph, parameters, parameterOfData };
  };
  const { graph, parameters, parameterOfData } = traced("fp32");
  const [order, halved] = [topological(graph), topological(traced("fp16").graph)];
  const pairs = order.length === halved.length ? order.map((node, i) => [node, halved[i]!] as const) : [];
  const narrow = new Set(pairs.flatMap(([node, other]) => other.type.dtype === "fp16" ? node : []));
  const hiding = new Set(pairs.flatMap(([node, other]) => sameNumber(node, other) ? [] : node));
  return {
    model,
    norms: normsOf(graph, { norm, weights }),
    graph,
    uses: usesOf(graph),
    parameters,
    // A file's floats of any width are the network's own.
    isFloat: (node) => isFromFile ? isFloat(node.type.dtype) : narrow.has(node),
    isHiding: (node) => hiding.has(node),
    parameterOf: (node) => {
      const parameter = node?.op === "constant" ? parameterOfData(dataOf(node)) : null;
      return parameter?.name === node?.name ? parameter : null;
    },
    parameterOfData,
  };
}

/** False of two constants of one number that differ. */
function sameNumber(a: Node, b: Node): boolean {
  const areNumbers = [a, b].every(({ op, type: { shape } }) =>
    op === "constant" && elementCount(shape as readonly number[]) === 1
  );
  return !areNumbers || float64Of(dataOf(a))[0] === float64Of(dataOf(b))[0];
}
