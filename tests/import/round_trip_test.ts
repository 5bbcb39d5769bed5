/** What UNfold writes as ONNX it reads as the same network. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { importOnnx } from "../../src/import/model.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { fixedShape } from "../../src/ir/shape.ts";
import {
  batchNorm,
  block,
  float,
  layerNorm,
  linear,
  model,
  norm,
  patchEmbedding,
  unifiedNorm,
} from "../../mod.ts";
import { randomWeights } from "../../src/weights/mod.ts";

const network = model({
  name: "tiny",
  inputs: { image: float(["B", 3, 8, 8]) },
  norm: layerNorm(),
  forward({ image }, p) {
    const tokens = patchEmbedding(image, p.at("patch"), { patch: 4, channels: 8 });
    const x = block(tokens, p.at("block"), { heads: 2, mlp: { hidden: 16 } });
    return { logits: linear(norm(x, p.at("norm")).mean({ axes: [1] }), p.at("head"), { outputs: 3 }) };
  },
});

function outputs(graph: Graph): Float64Array {
  const feeds = Object.fromEntries(graph.inputs.map(({ name, type }) => {
    const shape = fixedShape(type.shape);
    const data = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + 1));
    return [name, { shape, data }];
  }));
  return Object.values(evaluateGraph(graph, feeds))[0]!.data;
}

for (const family of [layerNorm(), unifiedNorm(), batchNorm()]) {
  Deno.test(`importOnnx() of what UNfold wrote with ${family.label} is that network`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const path = join(folder, "tiny.onnx");
      const trace = { weights: randomWeights({ seed: 1 }), norm: family };
      await writeOnnx(network.trace(trace), path);
      const imported = importOnnx(path);
      assert.deepEqual(imported.model.inputs, { image: { dtype: "float", shape: ["B", 3, 8, 8] } });
      const dims = { B: 2 };
      const [want, got] = [
        outputs(network.trace({ ...trace, dims })),
        outputs(imported.model.trace({ weights: imported.open(), dims })),
      ];
      assert.equal(got.length, want.length);
      // Weights are rounded to float32 in the file.
      got.forEach((value, i) => assert.ok(Math.abs(value - want[i]!) < 1e-6 * Math.abs(want[i]!) + 1e-6));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
