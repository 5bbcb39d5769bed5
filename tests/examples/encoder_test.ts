/**
 * The kernels of the encoder example: what folding and TensorRT's form of it come to, and that neither gets
 * lost.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import example, { ENCODER, encoder } from "../../examples/encoder/encoder.ts";
import { compile } from "../../src/compile/networks.ts";
import type { Model } from "../../src/dsl/mod.ts";
import { buildEngine, type Profile } from "../../src/emit/tensorrt.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { inspectPlanFile } from "../../src/report/plan.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";
import { testWithLibrary } from "../tensorrt_library.ts";

interface Plan {
  readonly norm?: Norm;
  /** One profile for an open batch; a batch of 8 unless given. */
  readonly profile?: Profile;
}

async function kernelsOf(
  model: Model,
  { norm = unifiedNorm(), profile, library }: Plan & { library: string },
): Promise<number | null> {
  let kernels: number | null = null;
  await withFolder(async (folder) => {
    const { graph } = compile(model, {
      weights: randomWeights({ seed: 0 }),
      precision: "fp16",
      norm,
      dims: profile ? {} : { B: 8 },
    });
    const path = join(folder, "encoder.plan");
    await buildEngine(graph, { path, library, profiles: profile ? [profile] : [] });
    ({ kernels } = await inspectPlanFile(path));
  });
  return kernels;
}

testWithLibrary(
  "the encoder is 32 kernels with a fixed and with an open batch, with LayerNorm 45",
  async (library) => {
    assert.equal(await kernelsOf(example, { library }), 32);
    const profile = { B: { min: 1, opt: 8, max: 64 } };
    assert.equal(await kernelsOf(example, { library, profile }), 32);
    assert.equal(await kernelsOf(example, { norm: layerNorm(), library }), 45);
    assert.equal(await kernelsOf(example, { norm: layerNorm(), library, profile }), 45);
  },
);

// Blocks of one width are enough to count by: each further block is as many again.
const SMALL = { ...ENCODER, channels: 128, heads: 2, hidden: 512, depth: 2, vocabulary: 256 };

testWithLibrary(
  "a block is five kernels, with a bias on queries too; with LayerNorm two more, and one for that bias",
  async (library) => {
    const ofBlock = async (qkvBias: boolean, norm: Norm) => {
      const [two, three] = [
        await kernelsOf(encoder({ ...SMALL, qkvBias }), { norm, library }),
        await kernelsOf(encoder({ ...SMALL, depth: 3, qkvBias }), { norm, library }),
      ];
      return three! - two!;
    };
    assert.equal(await ofBlock(false, unifiedNorm()), 5);
    assert.equal(await ofBlock(true, unifiedNorm()), 5);
    assert.equal(await ofBlock(false, layerNorm()), 7);
    assert.equal(await ofBlock(true, layerNorm()), 8);
  },
);
