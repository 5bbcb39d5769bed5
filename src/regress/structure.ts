/** What a build consists of, and how two differ: exact counts, and the layers behind each difference. */
import { elementCount } from "../ir/data.ts";
import { ITEM_BYTES } from "../ir/dtype.ts";
import { type Graph, type Node, topological, usesOf } from "../ir/graph.ts";
import { bindShape, type DimValues, fixedShape, showShape } from "../ir/shape.ts";
import type { PlanReport } from "../report/plan.ts";
import type { StructureChange } from "../report/run_report.ts";
import { remainingNorms } from "../rewrite/pipeline.ts";
import type { KeptScopes } from "../rewrite/precision/keep.ts";
import type { Structure } from "./manifest.ts";

/**
 * @param graph what the engine is built of
 * @param dims sizes for the graph's open dimensions, for the bytes of intermediate results
 * @param plan null where none was built
 * @param kept what the network has in another type
 * @param quantized its products in fewer bits, by name
 */
export function structureOf(
  graph: Graph,
  { dims, plan, kept = [], quantized = [] }: {
    dims: DimValues;
    plan: PlanReport | null;
    kept?: readonly KeptScopes[];
    quantized?: readonly string[];
  },
): Structure {
  const keptNames = kept.flatMap(({ precision, nodes }) => nodes.map((name) => `${precision} ${name}`));
  const nodes = topological(graph);
  const constants = nodes.filter(({ op }) => op === "constant");
  const operators = nodes.filter(({ op }) => op !== "constant" && op !== "input");
  const bytesOf = ({ type: { shape, dtype }, name }: Node) =>
    elementCount(fixedShape(bindShape(shape, dims), name)) * ITEM_BYTES[dtype];
  const parameterBytes = constants.reduce((sum, node) => sum + bytesOf(node), 0);
  return {
    // Operators of the network as emitted.
    nodes: operators.length,
    parameters: constants.reduce((sum, { type }) => sum + elementCount(fixedShape(type.shape)), 0),
    parameterBytes,
    // Operators run in the graph's order.
    peakBytes: parameterBytes + peakOfResults(graph, bytesOf),
    normalizations: remainingNorms(graph),
    planBytes: plan?.byteLength ?? null,
    kernels: plan?.kernels ?? null,
    normalizationKernels: plan?.normalizationKernels ?? null,
    quantizedProducts: quantized.length,
    keptOperators: keptNames.length,
    graph: operators.map(({ name, op, type }) => ({
      name,
      op,
      shape: `${type.dtype}${showShape(type.shape)}`,
    })),
    kernelList: (plan?.kernelList ?? []).map(({ kind, name, layers }) => ({
      kind,
      name,
      layers: [...layers],
    })),
    quantized,
    kept: keptNames,
  };
}

/** The most that inputs and results take at once, each dropped after its last use. */
function peakOfResults(graph: Graph, bytesOf: (node: Node) => number): number {
  const results = topological(graph).filter(({ op }) => op !== "constant");
  const uses = usesOf(graph);
  const remaining = new Map(results.map((node) => [node, uses.get(node)!.length]));
  let live = graph.inputs.reduce((sum, node) => sum + bytesOf(node), 0);
  let peak = live;
  for (const node of results) {
    if (node.op === "input") continue;
    live += bytesOf(node);
    peak = Math.max(peak, live);
    for (const input of node.inputs) {
      const uses = remaining.get(input);
      if (uses === undefined) continue;
      remaining.set(input, uses - 1);
      if (uses === 1) live -= bytesOf(input);
    }
  }
  return peak;
}

/** What is in one build and not in the other, by layer. */
export function structureChange(current: Structure, stored: Structure): StructureChange {
  const nodes = (structure: Structure) =>
    structure.graph.map(({ op, name, shape }) => `${op} ${name} ${shape}`);
  const kernels = (structure: Structure) =>
    structure.kernelList.map(({ kind, name, layers }) => `${kind} ${layers.join(" + ") || name}`);
  return {
    nodesAdded: without(nodes(current), nodes(stored)),
    nodesRemoved: without(nodes(stored), nodes(current)),
    kernelsAdded: without(kernels(current), kernels(stored)),
    kernelsRemoved: without(kernels(stored), kernels(current)),
    quantizedAdded: without(current.quantized, stored.quantized),
    quantizedRemoved: without(stored.quantized, current.quantized),
    keptAdded: without(current.kept, stored.kept),
    keptRemoved: without(stored.kept, current.kept),
  };
}

/** Items of a list that another one does not have as often, in order. */
function without(items: readonly string[], others: readonly string[]): string[] {
  const remaining = new Map<string, number>();
  for (const item of others) remaining.set(item, (remaining.get(item) ?? 0) + 1);
  return items.filter((item) => {
    const count = remaining.get(item) ?? 0;
    if (count > 0) remaining.set(item, count - 1);
    return count === 0;
  });
}
