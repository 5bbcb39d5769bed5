/**
 * Weights in eight bits with their scales: PyTorch's products, bit for bit, and what is scaled in another way
 * refused.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { float64Of } from "../../src/ir/data.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";
import { type FixtureTensor, fp32, goodFile, refuses, withFolder } from "./fixtures.ts";

const pathOf = (name: string) => fileURLToPath(new URL(`../fixtures/trainers/${name}`, import.meta.url));

function withTensors(tensors: Readonly<Record<string, FixtureTensor>>, body: (path: string) => void): void {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    Deno.writeFileSync(path, goodFile(tensors));
    body(path);
  });
}

const eight = (dtype: string, shape: readonly number[]) => ({
  dtype,
  shape: [...shape],
  data: new Uint8Array(shape.reduce((product, size) => product * size, 1)).fill(1),
});

for (const name of ["scaled.safetensors", "scaled.pt"]) {
  Deno.test(`openCheckpoint() of ${name} gives PyTorch's weight.float() * scale, and no scales`, () => {
    const [scaled, expected] = [name, "scaled_expected.safetensors"].map((name) =>
      openCheckpoint(pathOf(name))
    );
    assert.deepEqual(scaled!.names().toSorted(), expected!.names().toSorted());
    for (const name of expected!.names()) {
      const [ours, theirs] = [scaled!.tensor(name), expected!.tensor(name)];
      assert.deepEqual([ours.dtype, ours.shape], [theirs.dtype, theirs.shape]);
      assert.deepEqual(ours.bytes(), theirs.bytes(), name);
    }
    assert.equal(scaled!.has("per_tensor.weight_scale"), false);
    refuses(() => scaled!.tensor("per_tensor.weight_scale"), "has no tensor");
  });
}

Deno.test("openCheckpoint() finds the scale of a weight in another shard", () => {
  withFolder((folder) => {
    const one = Float32Array.of(3);
    Deno.writeFileSync(join(folder, "1.safetensors"), goodFile({ "a.weight": eight("I8", [2, 1]) }));
    Deno.writeFileSync(
      join(folder, "2.safetensors"),
      goodFile({ "a.weight_scale": fp32([], [...one]) }),
    );
    const index = { weight_map: { "a.weight": "1.safetensors", "a.weight_scale": "2.safetensors" } };
    Deno.writeTextFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
    const checkpoint = openCheckpoint(folder);
    assert.deepEqual(checkpoint.names(), ["a.weight"]);
    assert.deepEqual([...float64Of(checkpoint.tensor("a.weight"))], [3, 3]);
  });
});

Deno.test("tensor() refuses a weight of eight bits that is scaled in another way, and reads those without a scale", () => {
  for (const scale of ["a.weight_scale_inv", "a.SCB", "a.weight.scale", "a.weight_zero_point"]) {
    for (const dtype of ["F8_E4M3", "I8"]) {
      withTensors(
        { "a.weight": eight(dtype, [1]), [scale]: fp32([1], [2]), "b.count": eight("U8", [1]) },
        (path) => {
          const checkpoint = openCheckpoint(path);
          refuses(() => checkpoint.tensor("a.weight"), "is quantized", `scaled by "${scale}"`, "dequantized");
          assert.equal(checkpoint.tensor("b.count").dtype, "uint8");
        },
      );
    }
  }
});

Deno.test("tensor() refuses scales of blocks, two scales, and a vector that may be of rows or of columns", () => {
  const refused: readonly (readonly [Readonly<Record<string, FixtureTensor>>, string])[] = [
    [{ "a.weight_scale": fp32([2, 2], [1, 2, 3, 4]) }, "neither one scale of all nor one of each row"],
    [{ "a.weight_scale": fp32([1, 4], [1, 2, 3, 4]) }, "neither one scale of all nor one of each row"],
    [{ "a.weight_scale": fp32([], [1]), "a.scale_weight": fp32([], [1]) }, "are both there"],
    [{ "a.weight_scale": fp32([4], [1, 2, 3, 4]) }, "save it in the shape [4, 1]"],
    [{ "a.weight_scale": eight("I8", [4]) }, "its scale, is int8"],
  ];
  for (const [scales, words] of refused) {
    withTensors({ "a.weight": eight("F8_E4M3", [4, 4]), ...scales }, (path) => {
      refuses(() => openCheckpoint(path).tensor("a.weight"), "is quantized", words);
    });
  }
});

Deno.test("tensor() leaves alone what only looks like a scale: an ordinary weight beside a learned factor", () => {
  withTensors({ "logit": fp32([1], [2]), "logit_scale": fp32([], [3]) }, (path) => {
    const checkpoint = openCheckpoint(path);
    assert.deepEqual(checkpoint.names(), ["logit", "logit_scale"]);
    assert.deepEqual([...float64Of(checkpoint.tensor("logit"))], [2]);
  });
});
