/**
 * The form of an optimized graph that TensorRT compiles best; the meaning is the same. Applied when an engine
 * is built, so that the ONNX file keeps the plainer form. Each pass is here because the compiled plan has
 * fewer kernels with it (RTX 1.7.1, fp16, fixed and open batch), for LayerNorm as for a folded network.
 */
import type { Pipeline } from "../pass.ts";
import { PASSES } from "../passes.ts";
import { STANDARD } from "../spec.ts";

export const TENSORRT: Pipeline = {
  name: "tensorrt",
  takes: STANDARD,
  passes: [
    // Kernels with a bias on queries, against packing heads: 66 and 77 for DeiT-S, 64 and 76 for GPT-2, 81
    // and 93 for Swin-T; as many with Layer Normalization, but for products in fp8 or int8.
    PASSES.carryOne,
    // What that leaves: fp32, and a causal mask over an open number of tokens.
    PASSES.packHeads,
    // 112 against 116 for T2T-ViT-14: a residual stream that is split or joined somewhere is moved less.
    PASSES.tokens2d,
  ],
  leaves: STANDARD,
};

/** The same with attention as the products that it is emitted as, for who wants to see its scores. */
export const TENSORRT_WRITTEN_OUT: Pipeline = {
  ...TENSORRT,
  passes: [...TENSORRT.passes, PASSES.writeAttention],
};
