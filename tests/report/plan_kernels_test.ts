import assert from "node:assert/strict";
import { blockOf, layerOf, normalizationKernels } from "../../src/report/plan_kernels.ts";
import type { Kernel } from "../../src/report/plan_schedule.ts";

Deno.test("layerOf() gives the DSL's name", () => {
  assert.equal(layerOf("b.0.norm1/normalization_normalizationBiased.1"), "b.0.norm1");
  assert.equal(layerOf("b.0.attn.v/attention/matmul#2 [profile 1]_U28"), "b.0.attn.v/attention");
  assert.equal(layerOf("__mye12+__mye13"), undefined);
  assert.equal(layerOf("{ForeignNode[a/b...c]}"), undefined);
  assert.equal(layerOf("output.1"), undefined);
});

Deno.test("blockOf() takes nested numbers where something follows", () => {
  assert.equal(blockOf("blocks.3.mlp.fc1/gelu"), "blocks.3");
  assert.equal(blockOf("blocks.3.mlp.0"), "blocks.3");
  assert.equal(blockOf("encoder.layer.11.attention.self"), "encoder.layer.11");
  assert.equal(blockOf("layers.0.blocks.1.attn.qkv"), "layers.0.blocks.1");
  assert.equal(blockOf("features.1.0.mlp.0"), "features.1.0");
  assert.equal(blockOf("patch_embed"), undefined);
  assert.equal(blockOf("tokens/gather"), undefined);
});

Deno.test("normalizationKernels() tells a normalization from the length of a vector", () => {
  const flagsOf = (...names: readonly string[]) =>
    normalizationKernels(names.map((name): Kernel => ({
      kind: "function",
      name,
      inputs: [],
      outputs: [],
      outputNames: [],
      innerNames: [],
      writesFewBits: false,
    })));
  const { flags, doubt } = flagsOf(
    "__myl_AddAddMeanSubMulMeanAddSqrtDivMulMulAdd",
    "__myl_MaxReshDivMulMulSumSqrtMaxDiv",
    "__myl_MaxReshDivMulSumCastSqrtMaxDiv",
  );
  assert.deepEqual([flags, doubt], [[true, false, false], null]);
  // Repeated to a larger shape first, the root is still that of the mean before it.
  const split = [["CastMeanSubMulMean", [], ["mean"]], ["ReplAddSqrtDivMulCastMulAddConc", ["mean"], [
    "y",
  ]]] as const;
  const kernels = split.map(([name, inputs, outputs]): Kernel => ({
    kind: "function",
    name: `__myl_${name}`,
    inputs,
    outputs,
    outputNames: [],
    innerNames: [],
    writesFewBits: false,
  }));
  assert.deepEqual(normalizationKernels(kernels), { flags: [true, false], doubt: null });
  // With an epsilon it may be a mean whose division went elsewhere.
  assert.match(flagsOf("__myl_MulSumAddSqrtDiv").doubt!, /takes a root of something that is not a mean/);
});
