/** What a description traces to is what recognition leads to: there it finds nothing to do. */
import assert from "node:assert/strict";
import { bert, BERT_BASE } from "../../../src/models/bert.ts";
import { GPT2, gpt2 } from "../../../src/models/gpt2.ts";
import { swin, SWIN_T } from "../../../src/models/swin.ts";
import { DEIT_S, vit } from "../../../src/models/vit.ts";
import type { Model } from "../../../src/dsl/model.ts";
import { layerNorm, rmsNorm, unifiedNorm } from "../../../src/norms/families.ts";
import { runPipeline } from "../../../src/rewrite/pass.ts";
import { RECOGNISE } from "../../../src/rewrite/recognise/recognise.ts";
import { randomWeights } from "../../../src/weights/mod.ts";

const SIZES = { channels: 16, depth: 2, heads: 2, hidden: 32 };
const NETWORKS: readonly Model[] = [
  vit({ ...DEIT_S, ...SIZES, image: 16, patch: 8, classes: 4, layerScale: true }),
  swin({ ...SWIN_T, image: [32, 32], channels: 16, depths: [2, 2], heads: [2, 4], window: 4, classes: 4 }),
  gpt2({ ...GPT2, ...SIZES, vocabulary: 32, context: 16 }),
  bert({ ...BERT_BASE, ...SIZES, vocabulary: 32 }),
];

for (const network of NETWORKS) {
  Deno.test(`recognition leaves ${network.name} as it is described`, () => {
    for (const norm of [layerNorm(), rmsNorm(), unifiedNorm()]) {
      const graph = network.trace({ weights: randomWeights({ seed: 1 }), norm });
      const { trace } = runPipeline(graph, RECOGNISE);
      const laws = trace.filter(({ pass }) => pass.startsWith("recognise"));
      assert.ok(laws.length > 2);
      for (const { pass, figures } of laws) assert.deepEqual(figures, {}, `${pass}, ${norm.family}`);
    }
  });
}
