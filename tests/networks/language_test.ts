/**
 * The language networks against PyTorch, each imported through its checkpoint format. Bounds of fp16: float16
 * rounds to 5e-4, and what is measured is 1 to 3 roundings of the largest logit. The offline translation
 * networks are the exception: on random weights nothing keeps their activations small, so that a rounding
 * grows twentyfold on its way to the logits, in fp32 as well.
 */
import assert from "node:assert/strict";
import { wideNet } from "../../src/models/widenet.ts";
import { layerNorm, powerNormV, unifiedNorm } from "../../src/norms/families.ts";
import { checkpointWeights, openCheckpoint } from "../../src/weights/mod.ts";
import { checkParity, fixture, imported } from "./parity.ts";

const FP16 = 4e-3;
const FP16_GROWN = 2e-2;

/**
 * Pre-norm: two normalizations in each of two encoder layers, three in each of two decoder layers, and two at
 * the end.
 */
const PRE = 12;

for (
  const [name, remaining, fp16] of [
    ["fairseq_ln", PRE, FP16],
    ["fairseq_un", 0, FP16_GROWN],
    ["fairseq_un_post", 0, FP16_GROWN],
    // GroupScaling depends on the input and stays.
    ["fairseq_power", PRE, FP16],
    // PowerNorm in the first layer of each stack, Layer Normalization in what follows.
    ["fairseq_power_layer", PRE, FP16],
  ] as const
) {
  Deno.test(`translation() computes what fairseq does: ${name}`, () =>
    checkParity({ fixture: name, ...imported(name, { heads: 2 }), remaining, fp16 }));
}

Deno.test("translation() with PowerNorm-V folds completely", () =>
  checkParity({
    fixture: "fairseq_power_v",
    ...imported("fairseq_power_v", { heads: 2 }),
    norm: powerNormV(),
    remaining: 0,
    fp16: FP16_GROWN,
  }));

Deno.test("translation() computes what fairseq does from its own averaged file, heads and all", async () => {
  const found = imported("fairseq_un_averaged", { file: "checkpoint_avg_10.pt" });
  assert.equal(found.format, "fairseq translation Transformer");
  await checkParity({ fixture: "fairseq_un_averaged", ...found, remaining: 0, fp16: FP16_GROWN });
});

Deno.test("translation() counts positions where sources are padded on the left, as fairseq does", async () => {
  const heads = { heads: 2 };
  const right = imported("fairseq_un", { ...heads, padding: "right" });
  await checkParity({
    fixture: "fairseq_un",
    title: "fairseq_un, padding right",
    ...right,
    remaining: 0,
    fp16: FP16_GROWN,
  });
  const left = imported("fairseq_un", heads);
  await checkParity({ fixture: "fairseq_un", run: "left", ...left, remaining: 0, fp16: FP16_GROWN });
});

Deno.test("translation() computes PowerNorm's own Batch Normalization, which its arguments tell", async () => {
  const name = "fairseq_power_batch";
  const found = imported(name, { file: "checkpoint_avg_10.pt" });
  // What divides each token stays.
  for (const run of ["io", "left"]) {
    await checkParity({ fixture: name, run, ...found, remaining: PRE, fp16: FP16 });
  }
});

for (const [name, remaining] of [["gpt2", 5], ["gpt2_un", 0], ["gpt2_lnfree", 0]] as const) {
  Deno.test(`gpt2() computes what transformers does: ${name}`, async () => {
    await checkParity({ fixture: name, ...imported(name), remaining, fp16: FP16 });
    for (const mode of ["prefill", "step"]) {
      await checkParity({ fixture: name, run: mode, ...imported(name, { mode }), remaining, fp16: FP16 });
    }
  });
}

for (const name of ["llama", "llama_3", "llama_base"]) {
  Deno.test(`llama() computes what transformers does: ${name}`, () =>
    checkParity({ fixture: name, ...imported(name), remaining: 5, fp16: FP16 }));
}

// PRepBN with RMSNorm's epsilon, which the configuration says.
Deno.test("llama() computes what SLAB's does: slab_llama", () =>
  checkParity({ fixture: "slab_llama", ...imported("slab_llama"), remaining: 0, fp16: FP16 }));

for (
  const [name, norm, remaining] of [["widenet_ln", layerNorm(), 7], ["widenet_un", unifiedNorm(), 0]] as const
) {
  Deno.test(`wideNet() computes what PyTorch does: ${name}`, () =>
    checkParity({
      fixture: name,
      model: wideNet({
        name: "widenet",
        image: 8,
        patch: 4,
        channels: 16,
        depth: 3,
        heads: 2,
        hidden: 32,
        classes: 10,
      }, { norm }),
      weights: () =>
        checkpointWeights(openCheckpoint(fixture(name)), {
          ignore: norm.ignoredKeys.map((key) => new RegExp(`\\.${key}$`)),
        }),
      remaining,
      fp16: FP16,
    }));
}
