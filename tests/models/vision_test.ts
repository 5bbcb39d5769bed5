/**
 * The pages of networks for images: their published sizes, and that nothing of an offline normalization stays
 * in them.
 */
import assert from "node:assert/strict";
import type { Model } from "../../src/dsl/mod.ts";
import { elementCount } from "../../src/ir/data.ts";
import { topological } from "../../src/ir/graph.ts";
import { cswin, CSWIN_T, SLAB_CSWIN_T } from "../../src/models/cswin.ts";
import { pvt, PVT_TINY, type PvtConfig, SLAB_PVT_TINY } from "../../src/models/pvt.ts";
import { SLAB_DEIT_TI, slabDeit } from "../../src/models/slab.ts";
import { swin, SWIN_T, SWIN_T_BACKBONE, swinBackbone } from "../../src/models/swin.ts";
import { T2T_VIT_14, t2tVit } from "../../src/models/t2t_vit.ts";
import { DEIT_S, DEIT_TI, vit, VIT_B16 } from "../../src/models/vit.ts";
import { layerNorm, type Norm, NORMS } from "../../src/norms/families.ts";
import { foldNorm } from "../../src/rewrite/fold/fold_norm.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { refuses } from "../support.ts";

function parameterCount(model: Model, norm?: Norm): number {
  const sizes = new Map<string, number>();
  const random = randomWeights({ seed: 0 });
  model.trace({
    ...(norm && { norm }),
    weights: {
      origin: "sizes",
      take: (name, shape, hint) => {
        sizes.set(name, elementCount(shape));
        return random.take(name, shape, hint);
      },
      unused: () => [],
    },
  });
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

Deno.test("the networks for images have as many parameters as their authors' code", () => {
  // With Layer Normalization, counted in timm and in the repositories of T2T-ViT, SLAB, PVT and CSWin.
  assert.equal(parameterCount(vit(VIT_B16)), 86_567_656);
  assert.equal(parameterCount(vit(DEIT_S)), 22_050_664);
  assert.equal(parameterCount(vit(DEIT_TI)), 5_717_416);
  assert.equal(parameterCount(swin(SWIN_T)), 28_288_354);
  assert.equal(parameterCount(t2tVit(T2T_VIT_14), layerNorm()), 21_545_550);
  // Parameters and running statistics, without the class token that nothing reads and the first LayerNorms.
  assert.equal(parameterCount(slabDeit(SLAB_DEIT_TI)), 6_188_801 + 9_600 - 192);
  assert.equal(parameterCount(pvt(PVT_TINY)), 13_229_288);
  assert.equal(parameterCount(cswin(CSWIN_T)), 22_320_552);
});

const SMALL = { channels: 16, heads: 2, hidden: 32, depth: 1, classes: 5 } as const;
const SMALL_SWIN = { channels: 8, depths: [2, 1], heads: [1, 2], classes: 5 } as const;

/** The first stage, whose keys are fewer, and the last, which may have a class token. */
const smallPvt = ({ stages }: PvtConfig) =>
  [{ ...stages[0]!, reduction: 2 }, stages[3]!].map((stage, i) => ({
    ...stage,
    channels: 8 * (i + 1),
    heads: 2,
    hidden: 16,
    depth: 1,
  }));
const SMALL_STRIPES = [{ depth: 1, heads: 2, split: 2 }, { depth: 1, heads: 4, split: 4 }];
const SMALL_LINEAR_STRIPES = [
  { depth: 2, heads: 2, split: 2, linear: { blocks: 1, split: 8, kernel: 5 } },
  { depth: 1, heads: 4, split: 4, linear: { blocks: 1, split: 2, kernel: 5 } },
];

const NETWORKS: readonly Model[] = [
  vit({ ...DEIT_TI, ...SMALL, image: 32, layerScale: true }),
  vit({ ...DEIT_TI, ...SMALL, image: 32, classToken: "none", pool: "mean", lastNorm: "pooled" }),
  t2tVit({ ...T2T_VIT_14, ...SMALL, image: 32, tokenChannels: 8, features: 4 }),
  swin({ ...SWIN_T, ...SMALL_SWIN, image: [56, 56] }),
  swinBackbone({ ...SWIN_T_BACKBONE, ...SMALL_SWIN, image: [32, 64], laterals: 6 }),
  slabDeit({ ...SLAB_DEIT_TI, ...SMALL, image: 32 }),
  pvt({ ...PVT_TINY, image: [32, 32], stages: smallPvt(PVT_TINY), classes: 5 }),
  pvt({ ...SLAB_PVT_TINY, image: [32, 32], stages: smallPvt(SLAB_PVT_TINY), classes: 5 }),
  cswin({ ...CSWIN_T, image: 32, channels: 8, stages: SMALL_STRIPES, classes: 5 }),
  cswin({ ...SLAB_CSWIN_T, image: 32, channels: 8, stages: SMALL_LINEAR_STRIPES, classes: 5 }),
];

for (const network of NETWORKS) {
  Deno.test(`an offline normalization folds completely into ${network.name}`, () => {
    for (const family of ["un", "bn", "prepbn"] as const) {
      const { norms } = foldNorm(
        network.trace({ weights: randomWeights({ seed: 1 }), norm: NORMS[family]() }),
      );
      const left = norms.filter(({ folded }) => !folded);
      assert.deepEqual(left, [], `${network.name}, ${family}`);
    }
  });
}

Deno.test("swinBackbone() without lateral convolutions keeps the normalizations of outputs that go on besides", () => {
  const network = swinBackbone({ ...SWIN_T_BACKBONE, ...SMALL_SWIN, image: [32, 64], laterals: null });
  const { norms } = foldNorm(network.trace({ weights: randomWeights({ seed: 1 }), norm: NORMS.un() }));
  const left = norms.filter(({ folded }) => !folded);
  // The last scale goes nowhere else, so that what writes to it takes its normalization in.
  assert.deepEqual(left.map(({ norm, refused }) => [norm, refused?.reason]), [
    ["norm0", "it is an output of the network"],
  ]);
});

Deno.test("swinBackbone() gives a map of each scale, whatever the size of the image", () => {
  const network = swinBackbone({ ...SWIN_T_BACKBONE, ...SMALL_SWIN, image: [96, 160], laterals: null });
  const graph = network.trace({ weights: randomWeights({ seed: 1 }) });
  assert.deepEqual(graph.outputs.map(({ name, node }) => [name, node.type.shape]), [
    ["stage0", ["B", 8, 24, 40]],
    ["stage1", ["B", 16, 12, 20]],
  ]);
});

Deno.test("Swin's shifted blocks of a scale share one mask", () => {
  const network = swin({ ...SWIN_T, ...SMALL_SWIN, depths: [4, 4], image: [112, 112] });
  const graph = network.trace({ weights: randomWeights({ seed: 1 }) });
  const masks = topological(graph).filter(({ op, name }) => op === "constant" && name === "shift_mask");
  const sides = masks.map(({ type }) => type.shape[0]);
  assert.deepEqual(sides, [16, 4]);
});

Deno.test("Swin refuses images that its patches, scales or windows do not divide", () => {
  const trace = (model: Model) => () => model.trace({ weights: randomWeights({ seed: 1 }) });
  refuses(
    trace(swin({ ...SWIN_T, image: [225, 224] })),
    "swin-t",
    "225x224 does not divide into patches of 4x4",
  );
  refuses(
    trace(swin({ ...SWIN_T, image: [112, 112] })),
    "7x7 does not divide into patches of 2x2",
  );
  refuses(
    trace(swinBackbone({ ...SWIN_T_BACKBONE, ...SMALL_SWIN, image: [32, 64], outputs: [2] })),
    "an output of scale 2 is wanted of 2 scales",
  );
  refuses(trace(swin({ ...SWIN_T, image: [256, 256] })), "64x64 tokens are not whole windows of 7x7");
});

Deno.test("pvt() refuses a class token beside tokens that its attention makes a map of", () => {
  const { stages } = PVT_TINY;
  refuses(() => pvt({ ...PVT_TINY, stages: stages.slice(0, 2) }), "pvt-tiny", "class token", "convolve");
  refuses(() => pvt({ ...SLAB_PVT_TINY, classToken: true }), "slab-pvt-tiny", "class token");
});

Deno.test("cswin() refuses images and stripes that its stages do not divide", () => {
  const trace = (model: Model) => () => model.trace({ weights: randomWeights({ seed: 1 }) });
  refuses(trace(cswin({ ...CSWIN_T, image: 225 })), "cswin-t", "225x225 does not divide");
  refuses(trace(cswin({ ...CSWIN_T, image: 256 })), "stage3.0", "stripes of 7 do not fill 16x16 tokens");
});
