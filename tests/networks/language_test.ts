/**
 * The language networks against PyTorch, each imported through its checkpoint format. fp16 bounds: float16 rounds to 5e-4
 * and every step of every layer is rounded, so some 1e-3 of the largest logit; where a case needs more, it says why.
 */
import assert from "node:assert/strict";
import { wideNet } from "../../src/models/widenet.ts";
import { layerNorm, powerNormV, unifiedNorm } from "../../src/norms/mod.ts";
import { checkpointWeights, openCheckpoint } from "../../src/weights/mod.ts";
import { checkParity, fixture, imported } from "./parity.ts";

/** Pre-norm: two normalizations in each of two encoder layers, three in each of two decoder layers, and two at the end. */
const PRE = 12;

for (
  const [name, remaining] of [
    ["fairseq_ln", PRE],
    ["fairseq_un", 0],
    ["fairseq_un_post", 0],
    // GroupScaling depends on the input and stays.
    ["fairseq_power", PRE],
  ] as const
) {
  Deno.test(`translation() computes what fairseq does: ${name}`, () =>
    checkParity({ fixture: name, ...imported(name, { heads: 2 }), remaining, fp16: 2e-2 }));
}

Deno.test("translation() with PowerNorm-V folds completely", () =>
  checkParity({
    fixture: "fairseq_power_v",
    ...imported("fairseq_power_v", { heads: 2 }),
    norm: powerNormV(),
    remaining: 0,
    fp16: 2e-2,
  }));

Deno.test("translation() computes what fairseq does from its own averaged file, heads and all", async () => {
  const found = imported("fairseq_un_averaged", { file: "checkpoint_avg_10.pt" });
  assert.equal(found.format, "fairseq translation Transformer");
  await checkParity({ fixture: "fairseq_un_averaged", ...found, remaining: 0, fp16: 2e-2 });
});

for (const [name, remaining] of [["gpt2", 5], ["gpt2_un", 0], ["gpt2_lnfree", 0]] as const) {
  Deno.test(`gpt2() computes what transformers does: ${name}`, async () => {
    await checkParity({ fixture: name, ...imported(name), remaining, fp16: 2e-3 });
    for (const mode of ["prefill", "step"]) {
      await checkParity({ fixture: name, run: mode, ...imported(name, { mode }), remaining, fp16: 2e-3 });
    }
  });
}

for (const name of ["llama", "llama_3"]) {
  Deno.test(`llama() computes what transformers does: ${name}`, () =>
    checkParity({ fixture: name, ...imported(name), remaining: 5, fp16: 2e-2 }));
}

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
      fp16: 2e-2,
    }));
}
