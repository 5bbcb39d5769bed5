/**
 * OpenVINO beside ONNX Runtime, on networks that UNfold emits. Needs OpenVINO's library; without it these are
 * ignored.
 */
import assert from "node:assert/strict";
import { NativeError } from "../../native/error.ts";
import { compile } from "../../src/compile/networks.ts";
import { onnxBytes } from "../../src/emit/onnx.ts";
import { UnfoldError } from "../../src/errors.ts";
import { GPT2, gpt2 } from "../../src/models/gpt2.ts";
import { DEIT_TI, vit } from "../../src/models/vit.ts";
import { layerNorm, unifiedNorm } from "../../src/norms/families.ts";
import { compareOutputs } from "../../src/run/compare.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { sessionFromOnnxByOpenVino } from "../../src/run/openvino.ts";
import { type Feeds, tensorValue } from "../../src/run/session.ts";
import { seededRandom } from "../../src/run/statistics.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { testWithOpenVino } from "../openvino_library.ts";

const VIT = { ...DEIT_TI, image: 32, channels: 48, hidden: 96, depth: 2, classes: 5 };
const GPT = { ...GPT2, vocabulary: 40, context: 16, channels: 32, depth: 2, heads: 4, hidden: 64 };

function images(batch: number): Feeds {
  const random = seededRandom(1);
  const values = Float64Array.from({ length: batch * 3 * 32 * 32 }, () => 2 * random() - 1);
  return { images: tensorValue("fp32", [batch, 3, 32, 32], values) };
}

const WEIGHTS = () => randomWeights({ seed: 0 });

testWithOpenVino(
  "sessionFromOnnxByOpenVino() computes what ONNX Runtime computes, for every batch",
  async (library) => {
    for (const norm of [unifiedNorm(), layerNorm()]) {
      const model = onnxBytes(compile(vit(VIT, { norm }), { weights: WEIGHTS() }).graph);
      await using own = await sessionFromOnnxByOpenVino(model, { library, threads: 1 });
      await using ort = await sessionFromOnnx(model, { threads: 1 });
      assert.match(own.backend, /^openvino \d+\.\d+\.\d+, CPU, 1 thread$/);
      for (const batch of [1, 3]) {
        // Two libraries add up in other orders: rounding of fp32, and no more.
        const { failure, maxRelError } = compareOutputs(
          await own.run(images(batch)),
          await ort.run(images(batch)),
        );
        assert.equal(failure, null);
        assert.ok(maxRelError < 1e-5, `${norm.family}, batch ${batch}: ${maxRelError}`);
      }
    }
  },
);

testWithOpenVino(
  "sessionFromOnnxByOpenVino() reads a file, integers and a causal mask; prepared calls repeat",
  async (library) => {
    const path = await Deno.makeTempFile({ suffix: ".onnx" });
    try {
      const { graph } = compile(gpt2(GPT, { norm: unifiedNorm() }), {
        weights: WEIGHTS(),
        dims: { B: 1, T: 16 },
      });
      await Deno.writeFile(path, onnxBytes(graph));
      await using own = await sessionFromOnnxByOpenVino(path, { library, threads: 1 });
      await using ort = await sessionFromOnnx(path, { threads: 1 });
      const feeds = { input_ids: tensorValue("int64", [1, 16], Array.from({ length: 16 }, (_, i) => i * 2)) };
      const port = own.inputs[0]!;
      const cast = {
        input_ids: tensorValue(port.dtype, [1, 16], Array.from({ length: 16 }, (_, i) => i * 2)),
      };
      const { maxRelError } = compareOutputs(await own.run(cast), await ort.run(cast));
      assert.ok(maxRelError < 1e-5, String(maxRelError));
      assert.deepEqual(port.shape, [1, 16]);
      const call = await own.prepare(cast);
      assert.equal(await call(), undefined);
      assert.equal(await call(), undefined);
      if (port.dtype !== "int64") await assert.rejects(own.run(feeds), UnfoldError);
    } finally {
      await Deno.remove(path);
    }
  },
);

testWithOpenVino("sessionFromOnnxByOpenVino() quotes OpenVINO where it refuses", async (library) => {
  await assert.rejects(
    sessionFromOnnxByOpenVino(Uint8Array.of(1, 2, 3), { library }),
    (error) =>
      error instanceof NativeError && /^OpenVINO failed while reading the ONNX model: \w/.test(error.message),
  );
  await assert.rejects(
    sessionFromOnnxByOpenVino(Uint8Array.of(), { library, threads: 0 }),
    (error) => error instanceof UnfoldError && /number of threads/.test(error.message),
  );
});
