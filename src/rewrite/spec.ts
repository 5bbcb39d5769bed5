/** What may stand in a graph at which stage, as data; what must hold of every graph is `verifyGraph`'s. */
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { onlyForOnnxRuntime } from "../ops/define.ts";
import { isOp, opOf } from "../ops/table.ts";
import type { NormFold } from "./fold/fold_norm.ts";
import { isKnown } from "./tidy/fold_constants.ts";
import { LINEAR_OF_MATMUL } from "./tidy/linear_of_matmul.ts";

/** What must not stand in a graph. */
export interface Ban {
  /** What such a node is: "an operator that only ONNX Runtime has". */
  readonly what: string;
  readonly is: (node: Node) => boolean;
  /** How many there may be all the same, after what became of the normalizations; none unless given. */
  readonly spared?: (norms: readonly NormFold[]) => number;
}

export type Spec = readonly Ban[];

const PROVIDERS_OWN: Ban = {
  what: "an operator that only ONNX Runtime has",
  is: (node) => opOf(node).tensorrt === onlyForOnnxRuntime,
};
const QUANTIZED: Ban = { what: "in 8-bit whole numbers", is: (node) => isOp(node, "quantized_linear") };
const WITH_PRODUCT: Ban = {
  what: "an attention with its products in it, which cannot be quantized",
  is: (node) => isOp(node, "self_attention"),
};
const UNSEEN_WEIGHT: Ban = {
  what: "a product with a constant that is not a linear",
  is: (node) => LINEAR_OF_MATMUL.rewrite(node) !== null,
};
const UNREFUSED: Ban = {
  what: "a scale and shift that nothing refused to take in",
  is: (node) => isOp(node, "channel_affine"),
  spared: (norms) => norms.filter(({ refused, keepsShift }) => refused !== undefined || keepsShift).length,
};
const UNCOMPUTED: Ban = { what: "computed from constants alone", is: isKnown };

/** What every backend takes, as the DSL writes it. */
export const STANDARD: Spec = [PROVIDERS_OWN, QUANTIZED];
export const FOLDED: Spec = [...STANDARD, UNSEEN_WEIGHT, UNREFUSED];
export const OPTIMIZED: Spec = [...STANDARD, UNCOMPUTED];
/** With the operators of ONNX Runtime's CPU provider. */
export const FOR_ONNX_RUNTIME: Spec = [QUANTIZED, UNCOMPUTED];
/** The same, ready to be quantized. */
export const QUANTIZABLE: Spec = [...FOR_ONNX_RUNTIME, WITH_PRODUCT];
export const ANYTHING: Spec = [];

/** The first thing in a graph that a stage bans, in words; null where there is none. */
export function offence(graph: Graph, spec: Spec, norms: readonly NormFold[] = []): string | null {
  const nodes = topological(graph);
  for (const { what, is, spared } of spec) {
    const found = nodes.filter(is);
    if (found.length > (spared?.(norms) ?? 0)) return `${found[0]!.name} (${found[0]!.op}) is ${what}`;
  }
  return null;
}
