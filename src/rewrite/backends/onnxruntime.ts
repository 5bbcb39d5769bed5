/**
 * The forms of an optimized graph for ONNX Runtime's CPU provider; the meaning is the same. They use the
 * provider's own operators, so such a file is for ONNX Runtime alone. The reference network gets every step
 * that is valid for it, too.
 */
import { type Graph, topological } from "../../ir/graph.ts";
import type { Pipeline } from "../pass.ts";
import { PASSES } from "../passes.ts";
import { FOR_ONNX_RUNTIME, QUANTIZABLE, STANDARD } from "../spec.ts";

/** The provider's own operators take nothing else. */
const inFp32 = (graph: Graph) =>
  topological(graph).every(({ type }) => type.dtype !== "fp16" && type.dtype !== "bf16");

/**
 * What runs fastest. Products stay products of all tokens' axes without biases: as a `Gemm` that starts from
 * a bias or from a residual stream they take 1 to 3 % longer (encoder, Swin-T, batch 1 and 8, two threads of
 * a Xeon, 25 November 2026), since what they start from is written by one thread. What is left of the biases
 * goes into the GELU, and what is left of sums is an addition.
 */
export const ONNX_RUNTIME: Pipeline = {
  name: "onnxruntime",
  takes: STANDARD,
  when: inFp32,
  passes: [
    PASSES.averageEarly,
    PASSES.deferBiases,
    PASSES.padHidden,
    PASSES.fuseAttention,
    PASSES.simplify,
    PASSES.biasGelu,
    PASSES.foldConstants,
  ],
  leaves: FOR_ONNX_RUNTIME,
};

/** The form in which products are quantized: the integer operator takes a bias, and is no attention. */
export const INT8: Pipeline = {
  name: "int8",
  takes: STANDARD,
  when: inFp32,
  passes: [PASSES.averageEarly, PASSES.fuseHeads, PASSES.simplify, PASSES.foldConstants],
  leaves: QUANTIZABLE,
};
