/**
 * `lowerForOnnxRuntime`: the form of an optimized graph that ONNX Runtime's CPU provider runs fastest; its meaning is the
 * same. The operators it brings in are that provider's own, so the file it becomes is for ONNX Runtime alone. Every step
 * is done to the reference network as well, where it is valid there.
 */
import { type Graph, topological } from "../../ir/graph.ts";
import { averageEarly } from "../channels/average_early.ts";
import { biasGelu } from "./bias_gelu.ts";
import { deferBiases } from "../channels/defer_biases.ts";
import { applyRules, type Pass, passOf, runPasses } from "../driver.ts";
import { foldConstants } from "../tidy/fold_constants.ts";
import { fuseAttention } from "../attention/fuse_attention.ts";
import { padHidden } from "../channels/pad_hidden.ts";
import { SIMPLIFY } from "../tidy/simplify.ts";

/**
 * In fp32. Products stay products of all tokens' axes without biases: as a `Gemm` that starts from a bias or from a residual
 * stream they take 1 to 3 % longer (encoder, Swin-T, batch 1 and 8, two threads of a Xeon, 25 November 2026), since what they start from is written by
 * one thread. What is left of the biases goes into the GELU, and what is left of sums is an addition.
 *
 * @returns the same graph where it is not in fp32, which is what the provider's own operators take
 */
export function lowerForOnnxRuntime(graph: Graph): Graph {
  return lowered(graph, [
    passOf(averageEarly),
    passOf(deferBiases),
    passOf(padHidden),
    { name: "fuseAttention", run: (graph) => fuseAttention(graph, { products: true }).graph },
    { name: "simplify", run: (graph) => applyRules(graph, SIMPLIFY).graph },
    passOf(biasGelu),
  ]);
}

/** The form in which products are quantized: the integer operator has no place for an attention, and one for a bias. */
export function lowerForInt8(graph: Graph): Graph {
  return lowered(graph, [
    passOf(averageEarly),
    { name: "fuseAttention", run: (graph) => fuseAttention(graph, { products: false }).graph },
    { name: "simplify", run: (graph) => applyRules(graph, SIMPLIFY).graph },
  ]);
}

function lowered(graph: Graph, passes: readonly Pass[]): Graph {
  const isFp32 = topological(graph).every(({ type }) => type.dtype !== "fp16" && type.dtype !== "bf16");
  if (!isFp32) return graph;
  return runPasses(graph, [
    ...passes,
    passOf(foldConstants),
  ]);
}
