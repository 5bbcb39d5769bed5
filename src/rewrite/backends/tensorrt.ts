/**
 * The form of an optimized graph that TensorRT compiles best, as passes; the meaning is the same. Applied when an engine is
 * built, so that the ONNX file keeps the plainer form. Each pass is here because the compiled plan has fewer kernels with it
 * (RTX 1.7.1, fp16, fixed and open batch), for LayerNorm as for a folded network.
 */
import { type Graph, topological } from "../../ir/graph.ts";
import { applyRules, type Pass, runPasses } from "../driver.ts";
import { carryOne } from "../channels/carry_one.ts";
import { packHeads } from "../attention/pack_heads.ts";
import { SIMPLIFY } from "../tidy/simplify.ts";
import { TOKENS_2D } from "./tokens_2d.ts";

export const LOWERINGS: readonly Pass[] = [
  // Kernels with a bias on queries, against packing heads: 32 and 44 for an encoder of six blocks, 64 and 87 for GPT-2, 81 and
  // 109 for Swin-T; with Layer Normalization 50 and 55, 100 and 111, 111 and 127. TensorRT has no fused attention for fp32.
  { name: "carryOne", run: (graph) => isFp32(graph) ? graph : carryOne(graph).graph },
  // What that leaves: fp32, and a causal mask over an open number of tokens.
  { name: "packHeads", run: packHeads },
  // 112 against 116 for T2T-ViT-14: a residual stream that is split or joined somewhere is moved less.
  { name: "tokens2d", run: (graph) => applyRules(graph, [...TOKENS_2D, ...SIMPLIFY]).graph },
];

const isFp32 = (graph: Graph) =>
  topological(graph).some(({ op, type }) => op === "attention" && type.dtype === "fp32");

/** @param skip names of passes to leave out, for measuring what they do */
export function lowerForTensorRt(graph: Graph, { skip = [] }: { skip?: readonly string[] } = {}): Graph {
  return runPasses(graph, LOWERINGS.filter(({ name }) => !skip.includes(name)));
}
