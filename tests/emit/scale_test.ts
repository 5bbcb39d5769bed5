import assert from "node:assert/strict";
import { join } from "node:path";
import { writeOnnx } from "../../src/emit/onnx.ts";
import type { TensorData } from "../../src/ir/data.ts";
import { gpt2 } from "../../src/models/gpt2.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { randomWeights, type WeightSource } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";

const MODEL = gpt2({
  name: "small",
  vocabulary: 20,
  context: 8,
  channels: 8,
  depth: 2,
  heads: 2,
  hidden: 32,
  mode: "plain",
});

/** Random weights that count how often each matrix is read. */
function counted(): WeightSource & { readonly reads: Map<string, number> } {
  const weights = randomWeights({ seed: 1 });
  const reads = new Map<string, number>();
  return {
    ...weights,
    origin: weights.origin,
    reads,
    unused: () => [],
    take: (name, shape, hint): TensorData => {
      const data = weights.take(name, shape, hint);
      if (shape.length < 2) return data;
      const bytes = () => {
        reads.set(name, (reads.get(name) ?? 0) + 1);
        return data.bytes();
      };
      return { ...data, bytes };
    },
  };
}

const norms: readonly Norm[] = [unifiedNorm(), layerNorm()];

for (const norm of norms) {
  for (const embeddedLimitBytes of [0, Infinity]) {
    const how = embeddedLimitBytes === 0 ? "beside the model" : "in the model";
    Deno.test(`writeOnnx() reads each matrix of GPT-2 with ${norm.label} once, ${how}; optimize() reads none`, () =>
      withFolder(async (folder) => {
        const weights = counted();
        const { graph } = optimize(MODEL.trace({ weights, norm, precision: "fp16", dims: { B: 1 } }));
        assert.deepEqual([...weights.reads], []);
        await writeOnnx(graph, join(folder, "small.onnx"), { embeddedLimitBytes });
        const { "wte.weight": embedding, ...others } = Object.fromEntries(weights.reads);
        assert.equal(Object.keys(others).length, 2 * 4 + 1);
        assert.ok(Object.values(others).every((count) => count === 1), JSON.stringify(others));
        // The table of the embedding, and with the last normalization folded in the head's weight.
        assert.equal(embedding, 2);
      }));
  }
}
