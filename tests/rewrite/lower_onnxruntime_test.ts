import assert from "node:assert/strict";
import { onnxBytes } from "../../src/emit/onnx.ts";
import { swin } from "../../src/models/swin.ts";
import { layerNorm, unifiedNorm } from "../../src/norms/families.ts";
import { INT8, ONNX_RUNTIME } from "../../src/rewrite/backends/onnxruntime.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { tensorValue } from "../../src/run/session.ts";
import { graphOf, input, linear, meaningDifference, nodesOf, param, Random } from "../support.ts";
import { decoder, encoder, SWIN_TINY, traced } from "./networks.ts";
import { reshape, scaledDotProductAttention, transpose } from "../nodes.ts";

/**
 * Weights that took in a bias are folded from the unrounded original; all else is the same arithmetic in
 * another order.
 */
const ROUNDED_ONCE = 1e-6;

Deno.test("ONNX_RUNTIME keeps the meaning of encoders and decoders, with UN and with LN", () => {
  const models = [
    encoder(),
    encoder({ packed: false }),
    encoder({ qkvBias: false, causal: true }),
    decoder(),
  ];
  for (const [seed, model] of models.entries()) {
    for (const norm of [unifiedNorm(), layerNorm()]) {
      const { graph } = optimize(traced(model, { seed, norm }));
      for (const pipeline of [ONNX_RUNTIME, INT8]) {
        const lowered = runPipeline(graph, pipeline).graph;
        assert.equal(nodesOf(lowered, "attention").length, 0);
        assert.ok(meaningDifference(lowered, graph, seed) <= ROUNDED_ONCE);
      }
    }
  }
});

Deno.test("ONNX_RUNTIME leaves of a UN block an attention and three products without a bias", () => {
  const depth = 3;
  const { graph } = optimize(traced(encoder({ depth })));
  const lowered = runPipeline(graph, ONNX_RUNTIME).graph;
  const count = (op: string) => nodesOf(lowered, op).length;
  // The last block is for the class token alone, so its q is a product of its own.
  assert.deepEqual([count("self_attention"), count("token_attention")], [depth - 1, 1]);
  assert.deepEqual([count("bias_gelu"), count("transpose"), count("slice")], [depth, 1, 3]);
  const biased = nodesOf(lowered, "linear").filter(({ inputs }) => inputs.length === 3);
  assert.deepEqual(biased.map(({ name }) => name), ["blocks.2.attn.qkv", "blocks.2.attn.qkv+qkv", "head"]);
});

Deno.test("ONNX_RUNTIME leaves graphs of narrower types, which the provider's operators do not take", () => {
  const { graph } = optimize(traced(encoder(), { precision: "fp16" }));
  assert.equal(runPipeline(graph, ONNX_RUNTIME).graph, graph);
});

Deno.test("ONNX_RUNTIME leaves attention whose keys are kept as heads; masks of keys are repeated", () => {
  const random = new Random(4);
  const x = input("x", [2, 3, 4]);
  const heads = (name: string) =>
    transpose(reshape(linear(x, 4, { random, name }), [2, 3, 2, 2]), [0, 2, 1, 3]);
  const key = input("key", [2, 2, 3, 2]);
  const kept = graphOf(scaledDotProductAttention({ q: heads("q"), k: key, v: key }));
  assert.equal(nodesOf(runPipeline(kept, ONNX_RUNTIME).graph, "attention").length, 1);
  const mask = param("mask", [1, 1, 1, 3], { random });
  const masked = graphOf(scaledDotProductAttention({ q: heads("q"), k: heads("k"), v: heads("v"), mask }));
  assert.equal(nodesOf(runPipeline(masked, ONNX_RUNTIME).graph, "token_attention").length, 1);
});

Deno.test("ONNX_RUNTIME means the same on ONNX Runtime: windows with a mask, open and fixed batch", async () => {
  const random = new Random(5);
  const images = tensorValue("fp32", [2, 3, 16, 16], random.normals([2, 3, 16, 16]));
  for (const norm of [unifiedNorm(), layerNorm()]) {
    for (const dims of [{}, { B: 2 }]) {
      const { graph } = optimize(traced(swin(SWIN_TINY, { norm }), { dims }));
      const lowered = runPipeline(graph, ONNX_RUNTIME).graph;
      assert.equal(nodesOf(lowered, "self_attention").length, 4);
      await using plain = await sessionFromOnnx(onnxBytes(graph), { threads: 1 });
      await using own = await sessionFromOnnx(onnxBytes(lowered), { threads: 1 });
      const [expected, actual] = [await plain.run({ images }), await own.run({ images })];
      const { failure, maxRelError } = compareTensors(actual.logits!, expected.logits!);
      assert.equal(failure, null);
      // Two orders of float32 sums through four blocks: some units of 6e-8 each; a mask out of place moves
      // 1e-2.
      assert.ok(maxRelError <= 1e-5, `${maxRelError}`);
    }
  }
});
