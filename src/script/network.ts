/**
 * A traced network as one reads it to write it down: who reads each node, and which constants are parameters,
 * with what the description asked for, since a graph has but their values.
 */
import { float64Of, type TensorData } from "../ir/data.ts";
import type { Model } from "../dsl/model.ts";
import { type Graph, type Node, topological, type Uses, usesOf } from "../ir/graph.ts";
import type { Norm } from "../norms/families.ts";
import { dataOf } from "../ops/constant.ts";
import type { WeightHint, WeightSource } from "../weights/source.ts";

/** What was asked of the weights. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly hint: WeightHint;
  readonly data: TensorData;
}

export interface Network {
  readonly model: Model;
  /** What it is traced with. */
  readonly norm: Norm;
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
}

/** Traces a model in fp32, and in fp16 for what follows the precision. */
export function networkOf(
  model: Model,
  { weights, norm }: { readonly weights: WeightSource; readonly norm: Norm },
): Network {
  const parameters = new Map<string, Parameter>();
  const byData = new Map<unknown, Parameter>();
  const halved = topological(model.trace({ norm, weights, precision: "fp16" }));
  const graph = model.trace({
    norm,
    weights: {
      origin: weights.origin,
      unused: () => weights.unused(),
      take: (name, shape, hint) => {
        const data = weights.take(name, shape, hint);
        const parameter = parameters.getOrInsert(name, { name, shape, hint, data });
        byData.set(data, parameter);
        return data;
      },
    },
  });
  const order = topological(graph);
  const pairs = order.length === halved.length ? order.map((node, i) => [node, halved[i]!] as const) : [];
  const narrow = new Set(pairs.flatMap(([node, other]) => other.type.dtype === "fp16" ? node : []));
  const hiding = new Set(pairs.flatMap(([node, other]) => sameNumber(node, other) ? [] : node));
  return {
    model,
    norm,
    graph,
    uses: usesOf(graph),
    parameters,
    isFloat: (node) => narrow.has(node),
    isHiding: (node) => hiding.has(node),
    parameterOf: (node) => {
      const parameter = node?.op === "constant" ? byData.get(node.attrs.data) : undefined;
      return parameter?.name === node?.name ? parameter ?? null : null;
    },
  };
}

/** False of two constants of one number that differ. */
function sameNumber(a: Node, b: Node): boolean {
  const areNumbers = [a, b].every(({ op, type }) => op === "constant" && type.shape.join() === "1");
  return !areNumbers || float64Of(dataOf(a))[0] === float64Of(dataOf(b))[0];
}
