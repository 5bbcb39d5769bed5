/**
 * Graphs as text, reviewed like code: a two-block encoder as it is traced, optimized and made ready for each
 * backend. After a change that is meant, `UNFOLD_UPDATE_GOLDEN=1` writes the files anew; read the difference
 * before committing it.
 */
import assert from "node:assert/strict";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import type { Precision } from "../../src/ir/dtype.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { printGraph } from "../../src/ir/print.ts";
import { asOnnx } from "../../src/rewrite/backends/onnx_forms.ts";
import { INT8 } from "../../src/rewrite/backends/onnxruntime.ts";
import { inBytes, integerProducts, quantizable } from "../../src/rewrite/backends/quantize.ts";
import { TENSORRT } from "../../src/rewrite/backends/tensorrt.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { encoder, traced, type Variant } from "../rewrite/networks.ts";

const update = Deno.env.get("UNFOLD_UPDATE_GOLDEN") === "1";

interface Golden {
  readonly file: string;
  readonly variant?: Variant;
  readonly norm?: Norm;
  /** Whether the forms for each backend are printed as well. */
  readonly lowered?: boolean;
}

const GOLDEN: readonly Golden[] = [
  { file: "un_encoder", lowered: true },
  { file: "un_encoder_three_products", variant: { packed: false } },
  { file: "un_encoder_without_qkv_bias", variant: { qkvBias: false } },
  { file: "ln_encoder", norm: layerNorm(), lowered: true },
];

/** Every product in 8-bit whole numbers, with one step for all. */
function inInt8(graph: Graph): Graph {
  const float = runPipeline(graph, INT8).graph;
  const products = quantizable(float).map((node) =>
    [node, inBytes({ step: 0.05, zero: 128 }, "any")] as const
  );
  return runPipeline(float, integerProducts(new Map(products))).graph;
}

for (const { file, variant = {}, norm = unifiedNorm(), lowered = false } of GOLDEN) {
  const before = (precision: Precision) => traced(encoder(variant), { norm, dims: {}, precision });
  const optimized = (precision: Precision) => optimize(before(precision)).graph;
  const stages: Readonly<Record<string, () => Graph>> = {
    traced: () => before("fp32"),
    optimized: () => optimized("fp32"),
    ...lowered && {
      // In fp32 TensorRT gets another form: it has no fused attention for it.
      tensorrt: () => runPipeline(optimized("fp16"), TENSORRT).graph,
      tensorrt_fp32: () => runPipeline(optimized("fp32"), TENSORRT).graph,
      onnxruntime: () => asOnnx(optimized("fp32"), "onnxruntime"),
      openvino: () => asOnnx(optimized("fp32"), "openvino"),
      int8: () => inInt8(optimized("fp32")),
    },
  };
  for (const [stage, graph] of Object.entries(stages)) {
    Deno.test(`${file} is printed as in ${file}.${stage}.txt`, async () => {
      const path = new URL(`${file}.${stage}.txt`, import.meta.url);
      const text = printGraph(graph());
      if (update) await Deno.writeTextFile(path, text);
      assert.equal(text, await Deno.readTextFile(path), "if that is meant: UNFOLD_UPDATE_GOLDEN=1");
    });
  }
}
