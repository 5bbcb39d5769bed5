/**
 * TensorRT builds the language networks, small, in fp16: open numbers of tokens and fixed ones, masks,
 * caches, rotations.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseBatch, profilesOf } from "../../src/compile/batch.ts";
import { compile } from "../../src/compile/networks.ts";
import type { Model } from "../../src/dsl/mod.ts";
import { withDims } from "../../src/dsl/fixed_dims.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import { GPT2, gpt2 } from "../../src/models/gpt2.ts";
import { llama, TINY_LLAMA } from "../../src/models/llama.ts";
import { IWSLT14, translation } from "../../src/models/translation.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { inspectPlanFile } from "../../src/report/plan.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

const SMALL = { channels: 64, heads: 2, hidden: 128 } as const;
const GENERATOR = { ...GPT2, ...SMALL, vocabulary: 100, depth: 1, context: 32 };

const NETWORKS: readonly Model[] = [
  translation({ ...IWSLT14, ...SMALL, encoder: 1, decoder: 1, vocabulary: { source: 100, target: 100 } }),
  gpt2({ ...GENERATOR, mode: "prefill" }),
  gpt2({ ...GENERATOR, mode: "step" }),
  llama({ ...TINY_LLAMA, ...SMALL, groups: 1, size: 32, depth: 1, vocabulary: 100 }),
];

testWithLibrary(
  "buildEngine() gives GPT-2 fewer kernels where the number of tokens is fixed",
  (library) =>
    withFolder(async (folder) => {
      const path = join(folder, "gpt2.plan");
      const kernelsOf = async (network: Model) => {
        const graph = compile(network, {
          weights: randomWeights({ seed: 1 }),
          precision: "fp16",
          norm: unifiedNorm(),
          dims: { B: 8 },
        }).graph;
        await buildEngine(graph, {
          path,
          library,
          profiles: profilesOf(parseBatch("8"), network.dims ?? {}),
        });
        return (await inspectPlanFile(path)).kernels;
      };
      const open = await kernelsOf(gpt2(GPT2));
      const fixed = await kernelsOf(withDims(gpt2(GPT2), { T: 128 }));
      assert.deepEqual([open, fixed], [87, 64]);
    }),
);

testWithLibrary(
  "buildEngine() builds the language networks without a normalization kernel",
  (library) =>
    withFolder(async (folder) => {
      const path = join(folder, "language.plan");
      for (const network of NETWORKS) {
        for (const dims of [{}, { B: 2, S: 5, T: 4, P: 3 }]) {
          const { graph } = compile(network, {
            weights: randomWeights({ seed: 1 }),
            precision: "fp16",
            norm: unifiedNorm(),
            dims,
          });
          const open = Object.keys(dims).length === 0;
          const profiles = open ? [{ ...network.dims, B: { min: 1, opt: 2, max: 4 } }] : [];
          await buildEngine(graph, { path, library, profiles });
          const { normalizationKernels, unknown } = await inspectPlanFile(path);
          assert.equal(normalizationKernels, 0, `${network.name}: ${unknown}`);
        }
      }
    }),
);
