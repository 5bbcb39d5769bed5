/**
 * A traced network as one reads it to write it down: who reads each node, and which constants are parameters,
 * with what the description asked for, since a graph has but their values.
 */
import type { TensorData } from "../ir/data.ts";
import type { Model } from "../dsl/model.ts";
import { type Graph, type Node, topological, type Uses, usesOf } from "../ir/graph.ts";
import type { Norm } from "../norms/families.ts";
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
  const narrow = new Set(
    order.length !== halved.length ? [] : order.filter((_, i) => halved[i]!.type.dtype === "fp16"),
  );
  return {
    model,
    norm,
    graph,
    uses: usesOf(graph),
    parameters,
    isFloat: (node) => narrow.has(node),
    parameterOf: (node) => {
      const parameter = node?.op === "constant" ? byData.get(node.attrs.data) : undefined;
      return parameter?.name === node?.name ? parameter ?? null : null;
    },
  };
}
