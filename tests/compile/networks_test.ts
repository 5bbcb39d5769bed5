/** Whose checkpoint is whose: the folded network's, the reference's, and what is only for timing. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { chooseWeights, compile } from "../../src/compile/networks.ts";
import { float, linear, model, norm } from "../../src/dsl/mod.ts";
import { heldData } from "../../src/ir/data.ts";
import {
  batchNorm,
  layerNorm,
  NORM_FAMILIES,
  type NormFamily,
  NORMS,
  unifiedNorm,
} from "../../src/norms/families.ts";
import { randomWeights, writeSafetensors } from "../../src/weights/mod.ts";
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

/**
 * What a file of a family looks like where that is not the family itself: one that has the same tensors; null
 * where it leaves none.
 */
const ALIKE: Readonly<Partial<Record<NormFamily, NormFamily | null>>> = {
  mabn: "un",
  brn: "bn",
  pnv: "pn",
  pngs: "pn",
  lnfree: "ln",
  gn: "ln",
  crms: null,
  affine: "ln",
  none: null,
};
const looksOf = (family: NormFamily) => ALIKE[family] === undefined ? family : ALIKE[family];

/**
 * A file with every tensor that the model takes with a family; `half` leaves the second normalization to that
 * one.
 */
function fileOf(path: string, family: NormFamily, half: NormFamily = family): string {
  const tensors = new Map<string, readonly number[]>();
  const described = (norms: readonly NormFamily[]) =>
    norms.forEach((norm, i) => {
      const random = randomWeights({ seed: 1 });
      twoNorms.trace({
        norm: NORMS[norm](),
        weights: {
          ...random,
          origin: "random",
          unused: () => [],
          take: (name, shape, hint) => {
            const isOther = name.startsWith(i === 0 ? "blocks.1." : "blocks.0.");
            if (norms.length === 1 || !isOther) tensors.set(name, shape);
            return random.take(name, shape, hint);
          },
        },
      });
    });
  described(family === half ? [family] : [family, half]);
  writeSafetensors(
    path,
    [...tensors].map(([name, shape]) =>
      [name, randomWeights({ seed: 1 }).take(name, shape, { init: "ones" })] as const
    ),
  );
  return path;
}

const twoNorms = model({
  name: "pairs",
  inputs: { x: float(["B", 4]) },
  norm: unifiedNorm(),
  forward: ({ x }, p) => {
    for (const i of [0, 1]) {
      x = linear(norm(x, p.at("blocks", i, "norm1")), p.at("blocks", i, "fc"), { outputs: 4 });
    }
    return x;
  },
});

const compileFrom = (path: string, family: NormFamily) => {
  const choice = chooseWeights(twoNorms, NORMS[family](), { checkpoint: path });
  return compile(twoNorms, { weights: choice.open(), norm: NORMS[family]() });
};

Deno.test("a file of one normalization that is read with another is told what it looks like, for every pair", () =>
  withFolder((folder) => {
    let told = 0;
    for (const stored of NORM_FAMILIES) {
      const file = fileOf(join(folder, `${stored}.safetensors`), stored);
      for (const wanted of NORM_FAMILIES) {
        const looks = looksOf(stored);
        if (looks === looksOf(wanted)) {
          compileFrom(file, wanted);
        } else if (looks === null) {
          refuses(() => compileFrom(file, wanted), "has no tensor");
        } else {
          refuses(
            () => compileFrom(file, wanted),
            `"blocks.0.norm1" in it looks like --norm ${looks} (`,
            `not ${wanted}`,
          );
          assert.throws(
            () => compileFrom(file, wanted),
            (error: Error) => !error.message.includes("`unused`"),
          );
          told++;
        }
      }
    }
    assert.ok(told > 130, `${told} pairs`);
    return Promise.resolve();
  }));

Deno.test("a file of two normalizations is told which one does not fit, whichever comes first", () =>
  withFolder((folder) => {
    const families = ["un", "bn", "pn", "ln", "rms", "dyt", "prepbn"] as const;
    for (const wanted of families) {
      for (const other of families) {
        if (wanted === other) continue;
        const file = fileOf(join(folder, `${wanted}.${other}.safetensors`), wanted, other);
        refuses(() => compileFrom(file, wanted), `"blocks.1.norm1" in it looks like --norm ${other} (`);
      }
    }
    return Promise.resolve();
  }));
