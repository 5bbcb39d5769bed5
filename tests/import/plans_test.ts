/**
 * Networks that PyTorch exported compile to as many kernels as UNfold's own descriptions of them, which is
 * what recognition is for: small instances of DeiT, Swin, GPT-2 and the encoder of `examples/encoder`.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ENCODER, encoder } from "../../examples/encoder/encoder.ts";
import type { Model } from "../../src/dsl/model.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import { importOnnx } from "../../src/import/model.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { GPT2, gpt2 } from "../../src/models/gpt2.ts";
import { swin, SWIN_T } from "../../src/models/swin.ts";
import { DEIT_S, vit } from "../../src/models/vit.ts";
import { inspectPlan } from "../../src/report/plan.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

const SIZES = { channels: 16, depth: 2, heads: 2, hidden: 64 };
const DESCRIBED: Readonly<Record<string, Model>> = {
  deit: vit({ ...DEIT_S, ...SIZES, image: 16, patch: 8, classes: 4 }),
  swin: swin({
    ...SWIN_T,
    image: [32, 32],
    channels: 16,
    depths: [2, 2],
    heads: [2, 4],
    window: 4,
    classes: 4,
  }),
  gpt2: gpt2({ ...GPT2, ...SIZES, vocabulary: 32, context: 16 }),
  encoder: encoder({ ...ENCODER, vocabulary: 32, tokens: 8, channels: 32, depth: 2, heads: 4, hidden: 64 }),
};
const FILES = [
  "deit.dynamo",
  "deit.torchscript",
  "swin.dynamo",
  "swin.torchscript",
  "gpt2.dynamo",
  "gpt2_open.dynamo",
  "encoder.dynamo",
  "encoder.torchscript",
];

/** Kernels of the fp16 plan, of 1 to 16 in sizes that are open. */
async function kernelsOf(graph: Graph, options: { path: string; library: string }): Promise<number> {
  const open = graph.inputs.flatMap(({ type }) => type.shape.filter((dim) => typeof dim === "string"));
  const profile = Object.fromEntries(open.map((dim) => [dim, { min: 1, opt: 8, max: 16 }]));
  await buildEngine(graph, { ...options, profiles: open.length > 0 ? [profile] : [] });
  return inspectPlan(await Deno.readFile(options.path)).kernelList.length;
}

testWithLibrary(
  "imported networks are as many kernels as described ones, all normalizations folded",
  (library) =>
    withFolder(async (folder) => {
      const path = join(folder, "x.engine");
      const built = async (graph: Graph) => {
        const { graph: optimized, norms } = optimize(graph);
        assert.ok(norms.every(({ folded }) => folded));
        return await kernelsOf(optimized, { path, library });
      };
      const known = new Map<string, number>();
      for (const file of FILES) {
        const name = file.split(".")[0]!;
        const described = DESCRIBED[name.split("_")[0]!]!;
        const dims = { B: 4, ...(name === "gpt2" && { T: 8 }) };
        const options = { precision: "fp16", norm: unifiedNorm(), dims } as const;
        const expected = known.get(name) ??
          await built(described.trace({ ...options, weights: randomWeights({ seed: 1 }) }));
        known.set(name, expected);
        const { model, open } = importOnnx(new URL(`../fixtures/onnx/plans/${file}.onnx`, import.meta.url));
        const graph = model.trace({ weights: open(), precision: "fp16", dims: { B: 4 } });
        assert.equal(await built(graph), expected, file);
      }
    }),
);

testWithLibrary(
  "a length that stays open costs masked networks no kernel",
  (library) =>
    withFolder(async (folder) => {
      const path = join(folder, "x.engine");
      for (const [file, tokens] of [["hf_bert.own.torchscript", "sequence"], ["hf_gpt2.bn.dynamo", "s41"]]) {
        const url = new URL(`../fixtures/onnx_zoo/${file}.onnx`, import.meta.url);
        const counts = [];
        for (const dims of [{}, { [tokens!]: 8 }]) {
          const { model, open } = importOnnx(url, { dims });
          const traced = model.trace({ weights: open(), precision: "fp16", dims: { B: 4 } });
          counts.push(await kernelsOf(optimize(traced).graph, { path, library }));
        }
        assert.equal(counts[0], counts[1], file);
        assert.ok(counts[0]! > 0, file);
      }
    }),
);
