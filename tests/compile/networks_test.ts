/** Whose checkpoint is whose: the folded network's, the reference's, and what is only for timing. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { chooseWeights, compile } from "../../src/compile/networks.ts";
import { float, linear, model, norm } from "../../src/dsl/mod.ts";
import { heldData } from "../../src/ir/data.ts";
import { batchNorm, layerNorm, unifiedNorm } from "../../src/norms/mod.ts";
import { writeSafetensors } from "../../src/weights/mod.ts";
import { refuses, withFolder } from "../support.ts";

const SHAPES: Record<string, number[]> = {
  "n.weight": [4],
  "n.bias": [4],
  "n.running_var": [4],
  "n.running_mean": [4],
  "q.weight": [2, 4],
  "q.bias": [2],
};

function write(path: string, names: readonly string[]): string {
  writeSafetensors(
    path,
    names.map((name) => {
      const length = SHAPES[name]!.reduce((a, b) => a * b);
      return [name, heldData(SHAPES[name]!, new Float32Array(length).fill(0.5), name)] as const;
    }),
  );
  return path;
}

const plain = (weights: Record<string, string> = {}) =>
  model({
    name: "plain",
    inputs: { x: float(["B", 4]) },
    norm: unifiedNorm(),
    weights,
    forward: ({ x }, p) => linear(norm(x, p.at("n")), p.at("q"), { outputs: 2 }),
  });

const UN = ["n.weight", "n.bias", "n.running_var", "q.weight", "q.bias"];
const BN = [...UN, "n.running_mean"];

Deno.test("chooseWeights() takes the given checkpoint for the folded network, whatever its normalization", () =>
  withFolder((folder) => {
    const own = write(join(folder, "own.safetensors"), BN);
    const given = write(join(folder, "given.safetensors"), BN);
    for (const model of [plain(), plain({ un: own, bn: own })]) {
      const choice = chooseWeights(model, batchNorm(), { checkpoint: given });
      assert.deepEqual([choice.origin, choice.trained], [given, true]);
      compile(model, { weights: choice.open(), norm: batchNorm() });
    }
    return Promise.resolve();
  }));

Deno.test("chooseWeights() does not fill up a checkpoint that was given and does not fit", () =>
  withFolder((folder) => {
    const given = write(join(folder, "given.safetensors"), UN);
    const choice = chooseWeights(plain(), batchNorm(), { checkpoint: given });
    refuses(() => compile(plain(), { weights: choice.open(), norm: batchNorm() }), "n.running_mean", given);
    refuses(
      () => chooseWeights(plain({ bn: given }), batchNorm(), { checkpoint: "/nowhere.safetensors" }),
      "/nowhere",
    );
    return Promise.resolve();
  }));

Deno.test("chooseWeights() gives the reference its own weights, else such as fit, for timing only", () =>
  withFolder((folder) => {
    const un = write(join(folder, "un.safetensors"), UN);
    const ln = write(join(folder, "ln.safetensors"), ["n.weight", "n.bias", "q.weight", "q.bias"]);
    const own = chooseWeights(plain({ un, ln }), layerNorm(), { isReference: true });
    assert.deepEqual([own.origin, own.trained], [ln, true]);
    const borrowed = chooseWeights(plain(), layerNorm(), { checkpoint: un, isReference: true });
    assert.equal(borrowed.trained, false);
    compile(plain(), { weights: borrowed.open(), norm: layerNorm() });
    assert.equal(chooseWeights(plain(), layerNorm(), { isReference: true }).trained, false);
    return Promise.resolve();
  }));
