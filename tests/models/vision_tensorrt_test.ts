/**
 * TensorRT builds the networks for images, small, in fp16: windows, padding, unfolding, Performers, grouped
 * convolution.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { compile } from "../../src/compile/networks.ts";
import type { Model } from "../../src/dsl/mod.ts";
import { buildEngine } from "../../src/emit/tensorrt.ts";
import { cswin, CSWIN_T, SLAB_CSWIN_T } from "../../src/models/cswin.ts";
import { pvt, PVT_TINY, SLAB_PVT_TINY } from "../../src/models/pvt.ts";
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

/** Kernels of an fp16 plan of a folded network for 8 images. */
async function kernelsOf(network: Model, { library, path }: { library: string; path: string }) {
  const options = { weights: randomWeights({ seed: 1 }), precision: "fp16", dims: { B: 8 } } as const;
  await buildEngine(compile(network, { ...options, norm: unifiedNorm() }).graph, { path, library });
  return (await inspectPlanFile(path)).kernels!;
}

testWithLibrary(
  "a Swin block is six kernels, with a bias on queries too: the windows' moves are the only ones beside five",
  (library) =>
    withFolder(async (folder) => {
      const at = { library, path: join(folder, "swin.plan") };
      const ofDepth = (depth: number, qkvBias: boolean) => {
        const sizes = { channels: 96, classes: 10, depths: [depth], heads: [3], image: [224, 224] } as const;
        return kernelsOf(swin({ ...SWIN_T, ...sizes, qkvBias }), at);
      };
      for (const qkvBias of [false, true]) {
        assert.equal(await ofDepth(4, qkvBias) - await ofDepth(2, qkvBias), 2 * 6);
      }
    }),
);

testWithLibrary(
  "a block of PVT is nine kernels, with keys of a convolution, and one of CSWin eleven, with stripes of two directions",
  (library) =>
    withFolder(async (folder) => {
      const at = { library, path: join(folder, "blocks.plan") };
      const ofPvt = (depth: number) => {
        const stages = [{ ...PVT_TINY.stages[1]!, depth }];
        return kernelsOf(pvt({ ...PVT_TINY, image: [56, 56], classToken: false, stages }), at);
      };
      const ofCswin = (depth: number) => {
        const stages = [{ depth, heads: 8, split: 7 }];
        return kernelsOf(cswin({ ...CSWIN_T, image: 56, channels: 128, stages }), at);
      };
      assert.equal(await ofPvt(3) - await ofPvt(1), 2 * 9);
      assert.equal(await ofCswin(3) - await ofCswin(1), 2 * 11);
    }),
);
