/**
 * TensorRT builds the networks for images, small, in fp16: windows, padding, unfolding, Performers, grouped
 * convolution.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { compile } from "../../src/compile/networks.ts";
import type { Model } from "../../src/dsl/mod.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import { cswin, SLAB_CSWIN_T } from "../../src/models/cswin.ts";
import { pvt, SLAB_PVT_TINY } from "../../src/models/pvt.ts";
import { SLAB_DEIT_TI, slabDeit } from "../../src/models/slab.ts";
import { swin, SWIN_T, SWIN_T_BACKBONE, swinBackbone } from "../../src/models/swin.ts";
import { T2T_VIT_14, t2tVit } from "../../src/models/t2t_vit.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { inspectPlanFile } from "../../src/report/plan.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

const SMALL = { channels: 64, heads: 2, hidden: 128, depth: 1, classes: 10 } as const;
const SMALL_SWIN = { channels: 32, depths: [2, 1], heads: [1, 2], classes: 10 } as const;

const NETWORKS: readonly Model[] = [
  t2tVit({ ...T2T_VIT_14, ...SMALL, image: 64 }),
  swin({ ...SWIN_T, ...SMALL_SWIN, image: [56, 56] }),
  swinBackbone({ ...SWIN_T_BACKBONE, ...SMALL_SWIN, image: [32, 64], laterals: 64 }),
  slabDeit({ ...SLAB_DEIT_TI, ...SMALL, image: 64 }),
  // Keys of fewer tokens, linear attention and softmax.
  pvt({
    ...SLAB_PVT_TINY,
    image: [64, 64],
    stages: SLAB_PVT_TINY.stages.slice(0, 3).map((stage, i) => ({
      ...stage,
      depth: 1,
      reduction: 2 - i % 2,
      kernel: i < 2 ? 5 : null,
    })),
  }),
  cswin({
    ...SLAB_CSWIN_T,
    image: 64,
    stages: [
      { depth: 2, heads: 2, split: 2, linear: { blocks: 1, split: 4, kernel: 5 } },
      { depth: 1, heads: 4, split: 8 },
    ],
  }),
];

testWithLibrary(
  "buildEngine() builds the networks for images without a normalization kernel",
  (library) =>
    withFolder(async (folder) => {
      const path = join(folder, "vision.plan");
      for (const network of NETWORKS) {
        for (const fixed of [true, false]) {
          const { graph } = compile(network, {
            weights: randomWeights({ seed: 1 }),
            precision: "fp16",
            norm: unifiedNorm(),
            dims: fixed ? { B: 2 } : {},
          });
          const profiles = fixed ? [] : [{ B: { min: 1, opt: 2, max: 4 } }];
          await buildEngine(graph, { path, library, profiles });
          const { normalizationKernels, unknown } = await inspectPlanFile(path);
          assert.equal(normalizationKernels, 0, `${network.name}: ${unknown}`);
        }
      }
    }),
);

testWithLibrary(
  "a Swin block is six kernels, with a bias on queries too: the windows' moves are the only ones beside five",
  (library) =>
    withFolder(async (folder) => {
      const path = join(folder, "swin.plan");
      const kernelsOf = async (depth: number, qkvBias: boolean) => {
        const network = swin({
          ...SWIN_T,
          channels: 96,
          classes: 10,
          depths: [depth],
          heads: [3],
          qkvBias,
          image: [224, 224],
        });
        const { graph } = compile(network, {
          weights: randomWeights({ seed: 1 }),
          precision: "fp16",
          norm: unifiedNorm(),
          dims: { B: 8 },
        });
        await buildEngine(graph, { path, library });
        return (await inspectPlanFile(path)).kernels!;
      };
      for (const qkvBias of [false, true]) {
        assert.equal(await kernelsOf(4, qkvBias) - await kernelsOf(2, qkvBias), 2 * 6);
      }
    }),
);
