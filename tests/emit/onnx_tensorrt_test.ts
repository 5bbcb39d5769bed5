/**
 * The ONNX form that TensorRT compiles best: the standard's operators alone, and the kernels that NVIDIA's
 * own parser makes of it, which is trtexec's and Triton's. No GPU is needed to build a plan; ONNX Runtime's
 * TensorRT provider, which needs one, is not run. What the form computes is tested with every network of
 * `tests/networks`.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { benchGraph, benchNetwork, benchWeights } from "../../src/bench/networks.ts";
import { onnxBytes, writeOnnx } from "../../src/emit/onnx.ts";
import { HIGHEST_OPSET, LOWEST_OPSET } from "../../src/emit/opset.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import type { Precision } from "../../src/ir/dtype.ts";
import { layerNorm, unifiedNorm } from "../../src/norms/families.ts";
import { inspectPlan } from "../../src/report/plan.ts";
import { asOnnx } from "../../src/rewrite/backends/onnx_forms.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { runPython } from "../python/support.ts";
import { decoder, encoder, traced } from "../rewrite/networks.ts";
import { withFolder } from "../support.ts";
import { testWithParser } from "../tensorrt_library.ts";

Deno.test("the form for TensorRT has the standard's operators alone, for UN and for LN", () => {
  for (const model of [encoder(), encoder({ packed: false, causal: true }), decoder()]) {
    for (const norm of [unifiedNorm(), layerNorm()]) {
      for (const dims of [{ B: 2, S: 4 }, {}]) {
        const { graph } = optimize(traced(model, { norm, precision: "fp16", dims }));
        for (const opset of [LOWEST_OPSET, HIGHEST_OPSET]) {
          const bytes = onnxBytes(asOnnx(graph, "tensorrt"), { opset });
          assert.ok(!new TextDecoder("latin1").decode(bytes).includes("com.microsoft"));
        }
      }
    }
  }
});

const PARSER = fileURLToPath(new URL("../../src/bench/onnx_plan.py", import.meta.url));
/** Of UNfold's own plans, batch 8. Of the standard form the parser makes 33, 101, 117 and 100 in fp16. */
const KERNELS = {
  fp16: { encoder: 33, vit: 66, swin: 81, gpt2: 64 },
  fp32: { "deit-ti": 154, swin: 188, "minilm-l6": 64 },
} as const;

for (const [precision, networks] of Object.entries(KERNELS)) {
  for (const [name, expected] of Object.entries(networks)) {
    testWithParser(
      `NVIDIA's parser makes UNfold's own kernels of the form for TensorRT: ${name} in ${precision}`,
      (library) =>
        withFolder(async (folder) => {
          const options = { batch: 8, precision: precision as Precision, weights: benchWeights() };
          const { graph } = benchGraph(benchNetwork(name), "un", options);
          const [onnx, plan] = [join(folder, "un.onnx"), join(folder, "plan")];
          const kernels = () => inspectPlan(Deno.readFileSync(plan)).kernels;
          await buildEngine(graph, { path: plan, library });
          assert.equal(kernels(), expected);
          await writeOnnx(asOnnx(graph, "tensorrt"), onnx);
          const { code, stderr } = runPython([PARSER, onnx, plan]);
          assert.equal(code, 0, stderr);
          assert.equal(kernels(), expected);
        }),
    );
  }
}
