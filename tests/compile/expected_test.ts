/**
 * PyTorch's own outputs as the proof of a network: files of `save_for_unfold`
 * (`tests/fixtures/make_proofs.py`) and `--expect`, right and wrong.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { parseBatch } from "../../src/compile/batch.ts";
import { expecting, expectingRecorded } from "../../src/compile/expected.ts";
import { buildModel } from "../../src/compile/build.ts";
import type { WeightOptions } from "../../src/compile/networks.ts";
import { float, linear, model, norm } from "../../src/dsl/mod.ts";
import { UnfoldError } from "../../src/errors.ts";
import { heldData, type TensorData } from "../../src/ir/data.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { openCheckpoint, RECORDED, writeSafetensors } from "../../src/weights/mod.ts";
import { processOf } from "../cli/process.ts";
import { withFolder } from "../support.ts";
import { gelu } from "../nodes.ts";

const proof = (name: string) =>
  fileURLToPath(new URL(`../fixtures/proof/${name}.safetensors`, import.meta.url));
const VIT = proof("timm_vit");
const ONNX_ALONE = ["--no-engine", "--no-reference", "--no-time", "--out", "out"];

/** The module of `un_module.safetensors`, described. */
const described = (epsilon: number) =>
  model({
    name: "un-module",
    inputs: { tokens: float(["B", 8]) },
    norm: unifiedNorm({ epsilon }),
    forward: ({ tokens }, p) => {
      const hidden = linear(norm(tokens, p.at("norm")), p.at("fc1"), { outputs: 12 });
      return linear(gelu(hidden, { approximate: "tanh" }), p.at("fc2"), { outputs: 4 });
    },
  });

/** Builds ONNX of a model from a file and gives the report. */
const build = (
  described: ReturnType<typeof model>,
  weights: WeightOptions,
  out: string,
) =>
  buildModel({
    model: described,
    norm: described.norm,
    layerNorm: "layer",
    precision: "fp32",
    batch: parseBatch("2"),
    out,
    skip: ["engine", "reference"],
    weights,
  });

for (
  const [name, output, said] of [
    ["timm_vit", "output", [
      "heads 4",
      "epsilon 0.000001",
      "activation relu",
      "pool token",
      "image-size 16x16",
    ]],
    ["hf_bert", "last_hidden_state", ["heads 4", "epsilon 0.001", "activation gelu"]],
    ["hf_gpt2", "logits", ["heads 4", "epsilon 0.00001", "activation gelu_tanh"]],
  ] as const
) {
  Deno.test(`${name} of save_for_unfold is read by what it says and gives PyTorch's outputs`, () =>
    withFolder(async (folder) => {
      const recognised = recogniseCheckpoint(proof(name));
      const { norm } = recognised.model;
      const proven = expectingRecorded(recognised.model, proof(name), { norm, opening: {} });
      const { parity, checkpoint } = await build(proven, { recognised }, folder);
      const settled = checkpoint!.settled!.filter(({ basis }) => basis === "said");
      const values = settled.map(({ name, value }) => `${name} ${value}`);
      for (const fact of said) assert.ok(values.includes(fact), `${fact} is not among ${values}`);
      assert.equal(parity!.agrees, true);
      // Two layers of float32: 2e-7 to 7e-7 were seen.
      assert.ok(parity!.maxRelError < 5e-6, `${parity!.maxRelError}`);
      assert.equal(parity!.against, `PyTorch's own outputs, ${output} of 2 examples`);
    }));
}

Deno.test("a module described by hand is compared with what lies beside its weights, and another epsilon differs", () =>
  withFolder(async (folder) => {
    const file = proof("un_module");
    for (const [epsilon, agrees] of [[1e-2, true], [1e-5, false]] as const) {
      const { norm, ...rest } = described(epsilon);
      const proven = expectingRecorded({ ...rest, norm }, file, { norm, opening: {} });
      const { parity } = await build(proven, { checkpoint: file }, folder);
      assert.equal(parity!.agrees, agrees);
    }
  }));

Deno.test("examples beside weights are no weights", () => {
  const file = openCheckpoint(VIT);
  assert.deepEqual(file.recorded, ["unfold.inputs.x", "unfold.outputs.output"]);
  assert.ok(file.recorded.every((name) => !file.has(name) && !file.names().includes(name)));
  assert.deepEqual(file.tensor("unfold.outputs.output").shape, [2, 5]);
});

/** The file with other facts or outputs. */
function changed(
  path: string,
  { facts = {}, tensors = {} }: {
    facts?: Record<string, unknown>;
    tensors?: Record<string, TensorData>;
  },
): void {
  const file = openCheckpoint(VIT);
  const names = [...file.names(), ...file.recorded];
  const said = JSON.parse(file.metadata.unfold!) as Record<string, unknown>;
  writeSafetensors(
    path,
    names.map((name) => [name, tensors[name] ?? file.tensor(name)]),
    { ...file.metadata, unfold: JSON.stringify({ ...said, ...facts }) },
  );
}

Deno.test("build-engine fails where a planted fact is wrong: heads, epsilon, activation, and names it", () =>
  withFolder(async (folder) => {
    const { run } = processOf("build-engine");
    for (
      const [facts, named] of [
        [{ heads: 2 }, "heads 2 \\(said\\)"],
        [{ epsilon: 0.1 }, "epsilon 0.1 \\(said\\)"],
        [{ activation: "silu" }, "activation silu \\(said\\)"],
      ] as const
    ) {
      changed(join(folder, "m.safetensors"), { facts });
      const { code, stdout, stderr } = await run(["--checkpoint", "m.safetensors", ...ONNX_ALONE], folder);
      assert.equal(code, 1);
      assert.match(
        stderr,
        new RegExp(
          `^error: the outputs do not agree with PyTorch's: the largest difference is [\\d.]+e[+-]\\d, relative .*${named}`,
          "m",
        ),
      );
      assert.match(stdout, /with PyTorch's own outputs, output of 2 examples/);
    }
  }));

Deno.test("--expect takes inputs and outputs under the model's names, or one of each under any", () =>
  withFolder(async (folder) => {
    const { run, refuses } = processOf("build-engine");
    const file = openCheckpoint(VIT);
    const [images, logits] = file.recorded.map((name) => file.tensor(name)) as [TensorData, TensorData];
    const zeros = heldData([2, 5], new Float32Array(10), "zeros");
    const off = heldData([2, 5], new Float32Array(10).fill(1), "ones");
    const ids = heldData([2, 5], new BigInt64Array(10), "ids");
    const listed =
      /vit takes "images" \[B, 3, 16, 16\] and gives "logits" \[B, 5\]; the file has "x" \[2, 3, 16, 16\], /;
    const cases: readonly (readonly [Record<string, TensorData>, RegExp | "agrees" | "differs"])[] = [
      [{ images, logits }, "agrees"],
      [{ images, y: logits }, "agrees"],
      [{ x: images, logits }, "agrees"],
      [{ images, logits: off }, "differs"],
      [
        { x: images, y: logits },
        new RegExp(`has no tensor for the input "images"\\. ${listed.source}"y" \\[2, 5\\]`),
      ],
      [{ images, logits: images }, /has "logits" as \[2, 3, 16, 16\], but logits is \[2, 5\]\. vit takes/],
      [{ images, logits, more: logits }, /has "more", which is no input or output of the model\. vit takes/],
      [
        { images, logits: zeros },
        /cannot be compared with PyTorch's own outputs, logits of 2 examples: those are all 0/,
      ],
      [{ images }, /has no outputs\. vit takes/],
      [{ images: ids, logits }, /has "images" as int64, but images is float/],
    ];
    for (const [tensors, result] of cases) {
      writeSafetensors(join(folder, "expected.safetensors"), Object.entries(tensors));
      const args = ["--checkpoint", VIT, "--expect", "expected.safetensors", ...ONNX_ALONE];
      if (result instanceof RegExp) {
        await refuses(folder, args, { code: 1, message: result });
        continue;
      }
      const { code, stderr, stdout } = await run([...args, "--json"], folder);
      assert.equal(code, result === "agrees" ? 0 : 1, stderr);
      assert.equal(JSON.parse(stdout).parity.agrees, result === "agrees");
      await Deno.remove(join(folder, "out"), { recursive: true });
    }
    await refuses(folder, ["deit-ti", "--expect", VIT], {
      code: 2,
      message: /no weights of deit-ti that were trained/,
    });
    await refuses(folder, ["--checkpoint", VIT, "--expect", VIT, "--no-check"], {
      code: 2,
      message: /--expect and --no-check: give one of them/,
    });
  }));

Deno.test("expecting() takes a file of save_for_unfold for its examples alone", () => {
  const { model } = recogniseCheckpoint(VIT);
  const { evaluation } = expecting(model, VIT, model.norm);
  assert.deepEqual(evaluation!.inputs, { images: `${RECORDED.inputs}x` });
  assert.deepEqual(evaluation!.logits, { ln: { logits: `${RECORDED.outputs}output` } });
});

Deno.test("more tokens than the network has positions for are refused with what is possible", () => {
  const { model } = recogniseCheckpoint(proof("hf_bert"));
  const short = { ...model, dims: { T: { min: 1, opt: 2, max: 4 } } };
  assert.throws(
    () => expecting(short, proof("hf_bert"), model.norm),
    (error) =>
      error instanceof UnfoldError && /has examples of T = 5; 1 to 4 are possible/.test(error.message),
  );
});
