/**
 * Planted faults, each named as the first bad tensor: a weight times 4, a wrong epsilon, a Layer
 * Normalization that overflows. What is compared with is PyTorch's own tensors of a network that was trained
 * there.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compareNetworks } from "../../src/compile/tensors/compare.ts";
import type { FormChoice } from "../../src/compile/tensors/forms.ts";
import { block, float, linear, type Model, model, norm } from "../../src/dsl/mod.ts";
import { float64Of, heldData } from "../../src/ir/data.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { openCheckpoint, writeSafetensors } from "../../src/weights/mod.ts";
import { findOpenVino } from "../../src/run/openvino.ts";
import { testWithOpenVino } from "../openvino_library.ts";
import { rejects, withFolder } from "../support.ts";

const tensorsOf = (family: "un" | "ln") =>
  fileURLToPath(new URL(`../fixtures/tensors/${family}.safetensors`, import.meta.url));

/** The network of `generate/families.py`. */
function network(normalization: Norm): Model {
  return model({
    name: "family",
    inputs: { x: float(["B", 5, 8]) },
    norm: normalization,
    unused: [/skip_counter|running_/],
    forward({ x }, p) {
      let y = linear(x, p.at("embed"), { outputs: 16 });
      for (const i of [0, 1]) y = block(y, p.at("blocks", i), { heads: 2, mlp: { hidden: 16 } });
      const pooled = norm(y, p.at("norm")).mean({ axes: [1] });
      return { logits: linear(pooled, p.at("head"), { outputs: 5 }) };
    },
  });
}

/** The weights of a file with one of them times a factor. */
function faulty(
  path: string,
  { folder, tensor, factor }: { folder: string; tensor: string; factor: number },
) {
  const file = openCheckpoint(path);
  const changed = join(folder, "faulty.safetensors");
  const tensors = file.names().map((name) => {
    const data = file.tensor(name);
    const values = float64Of(data).map((value) => name === tensor ? factor * value : value);
    return [name, heldData(data.shape, Float32Array.from(values), name)] as const;
  });
  writeSafetensors(changed, tensors);
  return changed;
}

const openvino = await findOpenVino();

interface FormCase extends FormChoice {
  /** Tensors of PyTorch's 15 that survive in it, with UN and with LN. */
  readonly compared: readonly [number, number];
  /** The first tensor of PyTorch's behind the first Layer Normalization that it computes. */
  readonly behind: string;
}

const FORMS: readonly FormCase[] = [
  { network: "described", precision: "fp32", compared: [15, 15], behind: "blocks.0.norm1" },
  { network: "folded", precision: "fp32", compared: [10, 10], behind: "blocks.0.attn.qkv" },
  { network: "onnxruntime", precision: "fp32", compared: [7, 8], behind: "blocks.0.attn.proj" },
  { network: "openvino", precision: "fp32", compared: [9, 10], behind: "blocks.0.attn.qkv" },
  { network: "described", precision: "fp16", compared: [15, 15], behind: "blocks.0.norm1" },
  { network: "folded", precision: "fp16", compared: [10, 10], behind: "blocks.0.attn.qkv" },
];

for (const { compared, behind, ...form } of FORMS) {
  const title = `${form.network} in ${form.precision}`;
  const test: typeof testWithOpenVino = form.network === "openvino"
    ? testWithOpenVino
    : (name, run) => Deno.test(name, () => run(""));
  const compare = (model: Model, family: "un" | "ln", checkpoint = tensorsOf(family)) =>
    compareNetworks(model, {
      norm: model.norm,
      form,
      against: { file: tensorsOf(family) },
      checkpoint,
      libraries: { openvino: "library" in openvino ? openvino.library : undefined },
    });

  test(`compareNetworks() finds PyTorch's tensors and a network without fault: ${title}`, async () => {
    for (
      const [family, own, least] of [["un", unifiedNorm(), compared[0]], [
        "ln",
        layerNorm(),
        compared[1],
      ]] as const
    ) {
      const { tensors, firstBad, unknown } = await compare(network(own), family);
      assert.equal(firstBad, null);
      assert.equal(tensors.length, least);
      // What a module without weights of its own gives has no name of the description's.
      assert.deepEqual(
        unknown.toSorted(),
        [0, 1].flatMap((i) => [
          `blocks.${i}`,
          `blocks.${i}.attn`,
          `blocks.${i}.mlp`,
        ]),
      );
    }
  });

  test(`compareNetworks() names a weight that is four times too large: ${title}`, () =>
    withFolder(async (folder) => {
      const checkpoint = faulty(tensorsOf("un"), { folder, tensor: "blocks.0.mlp.fc1.weight", factor: 4 });
      const { firstBad, growsMost } = await compare(network(unifiedNorm()), "un", checkpoint);
      assert.deepEqual([firstBad, growsMost], ["blocks.0.mlp.fc1", "blocks.0.mlp.fc1"]);
    }));

  test(`compareNetworks() names the first tensor behind a normalization of a wrong epsilon: ${title}`, async () => {
    const { firstBad } = await compare(network(layerNorm({ epsilon: 1e-2 })), "ln");
    assert.equal(firstBad, behind);
  });
}

Deno.test("compareNetworks() names the Layer Normalization that overflows in fp16, and what is not finite", () =>
  withFolder(async (folder) => {
    const compare = (checkpoint: string) =>
      compareNetworks(network(layerNorm()), {
        norm: layerNorm(),
        form: { network: "described", precision: "fp16" },
        against: { network: "described", precision: "fp32" },
        checkpoint,
      });
    const checkpoint = faulty(tensorsOf("ln"), { folder, tensor: "blocks.1.norm1.weight", factor: 4e4 });
    const { firstNotFinite, firstBad, tensors, notExecuted } = await compare(checkpoint);
    assert.deepEqual([firstNotFinite, firstBad], ["blocks.1.norm1", "blocks.1.norm1"]);
    const { notFinite, maxRelError } = tensors.find(({ tensor }) => tensor === "blocks.1.norm1")!;
    assert.ok(notFinite > 0 && maxRelError === null);
    assert.match(notExecuted.join(), /^fp16 is rounded on the CPU/);
    assert.equal((await compare(tensorsOf("ln"))).firstBad, null);
  }));

Deno.test("compareNetworks() takes a plain file under the description's names, and refuses one of others", () =>
  withFolder(async (folder) => {
    const file = openCheckpoint(tensorsOf("un"));
    const write = (name: string, entries: readonly (readonly [string, string])[]) => {
      const path = join(folder, name);
      writeSafetensors(path, entries.map(([name, stored]) => [name, file.tensor(stored)]));
      return path;
    };
    const compare = (path: string) =>
      compareNetworks(network(unifiedNorm()), {
        norm: unifiedNorm(),
        form: { network: "described", precision: "fp32" },
        against: { file: path },
        checkpoint: tensorsOf("un"),
      });
    const x = ["x", "unfold.inputs.x"] as const;
    const good = write("good", [x, ["head", "unfold.tensors.head"], ["rest", "unfold.tensors.norm"]]);
    const { tensors, unknown, left } = await compare(good);
    assert.deepEqual([tensors.map(({ tensor }) => tensor), unknown], [["head"], ["rest"]]);
    assert.ok(left.some(({ tensor, reason }) => tensor === "norm" && reason === "is not in the file"));
    await rejects(
      compare(write("none", [x, ["rest", "unfold.tensors.norm"]])),
      "no tensor that family names",
      '"rest"',
      '"embed"',
    );
    await rejects(compare(write("inputs", [["head", "unfold.tensors.head"]])), "has no tensor", '"x"');
    // As of tokens that are in rows there and in windows here.
    const backwards = join(folder, "backwards");
    const norm = file.tensor("unfold.tensors.norm");
    writeSafetensors(backwards, [
      ["x", file.tensor("unfold.inputs.x")],
      ["norm", heldData(norm.shape, Float32Array.from(float64Of(norm).toReversed()), "norm")],
    ]);
    const { tensors: [moved] } = await compare(backwards);
    assert.deepEqual([moved!.note, moved!.isBad], ["the same numbers in another order", false]);
    assert.ok(moved!.maxRelError! < 1e-5 && moved!.growth! < 100);
    const wrong = write("wrong", [x, ["norm", "unfold.tensors.blocks.0.attn.qkv"]]);
    await rejects(compare(wrong), "has norm as [3, 5, 48]", "[3, 5, 16] is computed");
  }));
