import assert from "node:assert/strict";
import { onnxBytes } from "../../src/emit/onnx.ts";
import { layerNorm, unifiedNorm } from "../../src/norms/families.ts";
import { OPENVINO } from "../../src/rewrite/backends/openvino.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { ONNX_FORMS } from "../../src/rewrite/backends/onnx_form_names.ts";
import { asOnnx } from "../../src/rewrite/backends/onnx_forms.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { meaningDifference } from "../support.ts";
import { decoder, encoder, traced } from "./networks.ts";

/**
 * Weights that took in a bias are folded from the unrounded original; all else is the same arithmetic in
 * another order.
 */
const ROUNDED_ONCE = 1e-6;

Deno.test("OPENVINO keeps the meaning of encoders and decoders, with UN and with LN, by the standard's operators", () => {
  for (const [seed, model] of [encoder(), encoder({ qkvBias: false, causal: true }), decoder()].entries()) {
    for (const norm of [unifiedNorm(), layerNorm()]) {
      const { graph } = optimize(traced(model, { seed, norm }));
      const lowered = runPipeline(graph, OPENVINO).graph;
      assert.ok(meaningDifference(lowered, graph, seed) <= ROUNDED_ONCE);
      assert.ok(!new TextDecoder("latin1").decode(onnxBytes(lowered)).includes("com.microsoft"));
    }
  }
});

Deno.test("asOnnx() leaves a graph as it is unless a form is named, and has a lowering for each", () => {
  const { graph } = optimize(traced(encoder()));
  assert.equal(asOnnx(graph), graph);
  for (const form of ONNX_FORMS) {
    assert.ok(meaningDifference(asOnnx(graph, form), graph, 1) <= ROUNDED_ONCE, form);
  }
});
