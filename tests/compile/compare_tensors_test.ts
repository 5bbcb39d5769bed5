/**
 * Planted faults, each named as the first bad tensor by each form that runs on a CPU: any weight times 4, a
 * wrong epsilon, a Layer Normalization that overflows. What is compared with is PyTorch's own tensors of a
 * network that was trained there, and of what overflows each form in fp32.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compareNetworks, type TensorsComparison } from "../../src/compile/tensors/compare.ts";
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
const libraries = { openvino: "library" in openvino ? openvino.library : undefined };

const FAMILIES = [["un", unifiedNorm], ["ln", layerNorm]] as const;

interface FormCase extends FormChoice {
  /** Tensors of PyTorch's 15 that survive in it, with UN and with LN. */
  readonly compared: readonly [number, number];
}

const FORMS: readonly FormCase[] = [
  { network: "described", precision: "fp32", compared: [15, 15] },
  { network: "folded", precision: "fp32", compared: [10, 10] },
  { network: "onnxruntime", precision: "fp32", compared: [7, 8] },
  { network: "openvino", precision: "fp32", compared: [9, 10] },
  { network: "described", precision: "fp16", compared: [15, 15] },
  { network: "folded", precision: "fp16", compared: [10, 10] },
  { network: "onnxruntime", precision: "fp16", compared: [10, 10] },
  { network: "openvino", precision: "fp16", compared: [9, 10] },
];

const titleOf = ({ network, precision }: FormChoice) => `${network} in ${precision}`;

/** Of some forms; ignored where one of them needs OpenVINO and there is none. */
function testOf(forms: readonly FormChoice[], name: string, run: () => Promise<void>): void {
  const title = `compareNetworks() ${name}: ${forms.map(titleOf).join(" against ")}`;
  if (forms.some(({ network }) => network === "openvino")) testWithOpenVino(title, run);
  else Deno.test(title, run);
}

/** PyTorch's tensors and attentions' in the order in which they are computed. */
const TENSORS = [
  "embed",
  ...["blocks.0", "blocks.1"].flatMap((block) =>
    ["norm1", "attn.qkv", "attn.qkv/attention", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"].map((name) =>
      `${block}.${name}`
    )
  ),
  "norm",
  "head",
];

/** Where a fault in one of them shows first: there, or in the next that survives in both forms. */
function expectedOf(faulty: string, { tensors }: TensorsComparison): string {
  return TENSORS.slice(TENSORS.indexOf(faulty)).find((name) =>
    tensors.some(({ tensor }) => tensor === name)
  )!;
}

for (const form of FORMS) {
  const compare = (model: Model, family: "un" | "ln", checkpoint = tensorsOf(family)) =>
    compareNetworks(model, {
      norm: model.norm,
      form,
      against: { file: tensorsOf(family) },
      checkpoint,
      libraries,
    });

  testOf([form], "finds PyTorch's tensors and a network without fault", async () => {
    for (const [i, [family, norm]] of FAMILIES.entries()) {
      const { tensors, firstBad, unknown } = await compare(network(norm()), family);
      assert.equal(firstBad, null);
      assert.equal(tensors.length, form.compared[i]);
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

  testOf(
    [form],
    "names a weight that is four times too large, whichever it is",
    () =>
      withFolder(async (folder) => {
        for (const [family, norm] of FAMILIES) {
          const weights = openCheckpoint(tensorsOf(family)).names().filter((name) =>
            name.endsWith(".weight")
          );
          assert.equal(weights.length, TENSORS.filter((name) => !name.includes("/")).length);
          for (const tensor of weights) {
            const checkpoint = faulty(tensorsOf(family), { folder, tensor, factor: 4 });
            const compared = await compare(network(norm()), family, checkpoint);
            const expected = expectedOf(tensor.replace(/\.weight$/, ""), compared);
            assert.deepEqual([tensor, compared.firstBad, compared.growsMost], [tensor, expected, expected]);
          }
        }
      }),
  );

  testOf([form], "names a normalization of a wrong epsilon", async () => {
    for (const [family, norm] of FAMILIES) {
      const compared = await compare(network(norm({ epsilon: 1e-2 })), family);
      assert.equal(compared.firstBad, expectedOf("blocks.0.norm1", compared));
    }
  });
}

const [inFp16, inFp32] = [
  FORMS.filter(({ precision }) => precision === "fp16"),
  FORMS.filter(({ precision }) => precision === "fp32"),
];
for (const [form, against] of inFp16.flatMap((form) => inFp32.map((against) => [form, against] as const))) {
  testOf(
    [form, against],
    "names a Layer Normalization that overflows, and what is not finite",
    () =>
      withFolder(async (folder) => {
        const compare = (checkpoint: string) =>
          compareNetworks(network(layerNorm()), { norm: layerNorm(), form, against, checkpoint, libraries });
        const overflowing = { folder, tensor: "blocks.1.norm1.weight", factor: 4e4 };
        const compared = await compare(faulty(tensorsOf("ln"), overflowing));
        const { tensors, firstNotFinite, firstBad, notExecuted } = compared;
        const expected = expectedOf("blocks.1.norm1", compared);
        assert.deepEqual([firstNotFinite, firstBad], [expected, expected]);
        const { notFinite, maxRelError } = tensors.find(({ tensor }) => tensor === expected)!;
        assert.ok(notFinite > 0 && maxRelError === null);
        assert.match(notExecuted.join(), /^fp16 is (rounded on the CPU: |what tensors are kept in: )/);
        assert.equal((await compare(tensorsOf("ln"))).firstBad, null);
      }),
  );
}

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
