/**
 * How a value that no shape tells is decided: by what is said, what is published, what is assumed, or a
 * question.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ACTIVATION, HEADS, IMAGE_SIZE, POOL } from "../../src/checkpoints/common_settings.ts";
import { readAs } from "../../src/checkpoints/define.ts";
import { type SettingOptions, Settler, type Statement } from "../../src/checkpoints/settings.ts";
import { timmVit } from "../../src/checkpoints/layouts/timm_vit.ts";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { heldData } from "../../src/ir/data.ts";
import { openCheckpoint, writeSafetensors } from "../../src/weights/mod.ts";
import { refuses, withFolder } from "../support.ts";
import { fixtureFile, viewOf } from "./view.ts";

const settlerOf = (statements: readonly Statement[] = [], options: SettingOptions = {}) =>
  new Settler({ path: "m.pth", layout: "ViT", settings: [HEADS, ACTIVATION, POOL], statements, options });

const ASSUMED = { value: 6, why: "64 channels a head, nothing in the file says" };
const PUBLISHED = { value: 8, why: "config.json names vit_x" };
const config = (values: Record<string, unknown>): Statement => ({
  origin: "config.json",
  kind: "configuration",
  values,
});

Deno.test("Settler.settle() takes what weighs most, and says why", () => {
  const cases = [
    [settlerOf(), { assumed: ASSUMED }, 6, "assumed"],
    [settlerOf(), { published: PUBLISHED, assumed: ASSUMED }, 8, "published"],
    [settlerOf([config({ model_args: { num_heads: 12 } })]), { published: PUBLISHED }, 12, "said"],
    [settlerOf([], { heads: "3" }), { published: PUBLISHED }, 3, "option"],
    [
      settlerOf([config({ num_heads: 4 })], { heads: 4 }),
      { tensors: { value: 4, why: "a table" } },
      4,
      "tensors",
    ],
    [
      settlerOf([{ origin: "save_for_unfold's metadata", kind: "unfold", values: { heads: 5 } }]),
      {},
      5,
      "said",
    ],
  ] as const;
  for (const [settler, known, value, basis] of cases) {
    assert.equal(settler.settle(HEADS, known), value);
    assert.equal(settler.settled[0]!.basis, basis);
    assert.equal(settler.settled[0]!.value, String(value));
  }
});

Deno.test("Settler.settle() names both sides of a contradiction", () => {
  refuses(
    () => settlerOf([config({ num_heads: 12 })], { heads: "6" }).settle(HEADS, {}),
    "m.pth",
    "config.json says num_heads 12",
    "--heads says 6",
  );
  refuses(
    () => settlerOf([config({ num_heads: 12 })]).settle(HEADS, { tensors: { value: 4, why: "a table" } }),
    "the tensors say 4 (a table)",
    "config.json says num_heads 12",
  );
  refuses(
    () =>
      settlerOf([config({ num_heads: 12 }), {
        origin: "the arguments in the file",
        kind: "arguments",
        values: { num_heads: 6 },
      }])
        .settle(HEADS, {}),
    "the arguments in the file says num_heads 6",
  );
});

Deno.test("Settler asks where nothing tells, and refuses what it does not understand or has no use for", () => {
  refuses(
    () => settlerOf().settle(HEADS, { ask: "384 channels are published with 6 and with 12 heads" }),
    "nothing tells the attention heads (384 channels are published with 6 and with 12 heads)",
    "--heads VALUE: a whole number from 1",
  );
  refuses(() => settlerOf([], { heads: "six" }).settle(HEADS, {}), "--heads six: give a whole number from 1");
  refuses(
    () => settlerOf([config({ act_layer: "mish" })]).settle(ACTIVATION, {}),
    'act_layer "mish"',
    "gelu",
  );
  refuses(
    () => settlerOf([], { colour: "red" }),
    "--set colour:",
    "no such setting; it has heads, activation, pool",
  );
});

Deno.test("settings read what libraries write", () => {
  assert.equal(ACTIVATION.parse("gelu_new"), "gelu_tanh");
  assert.equal(ACTIVATION.parse("torch.nn.modules.activation.SiLU"), "silu");
  assert.equal(POOL.parse(""), "none");
  assert.deepEqual(IMAGE_SIZE.parse("32x128"), [32, 128]);
  assert.deepEqual(IMAGE_SIZE.parse([32, 128]), [32, 128]);
  assert.deepEqual(IMAGE_SIZE.parse(224), [224, 224]);
  assert.equal(IMAGE_SIZE.parse("0x4"), undefined);
});

const VIT = {
  "patch_embed.proj.weight": [384, 3, 16, 16],
  "patch_embed.proj.bias": [384],
  cls_token: [1, 1, 384],
  pos_embed: [1, 17, 384],
  "blocks.0.attn.qkv.weight": [1152, 384],
  "blocks.0.attn.qkv.bias": [1152],
  "blocks.0.attn.proj.bias": [384],
  "blocks.0.mlp.fc1.weight": [1536, 384],
  "blocks.0.mlp.fc2.weight": [384, 1536],
  "norm.weight": [384],
  "norm.bias": [384],
  "head.weight": [10, 384],
};

Deno.test("timmVit asks for the heads of 384 channels, and lists what it assumes", () => {
  refuses(() => readAs(timmVit, viewOf(VIT, null)), "published with 6 and with 12 heads");
  const { settled } = readAs(timmVit, viewOf(VIT, null), { heads: 12 });
  const assumed = settled.filter(({ basis }) => basis === "assumed").map(({ name, value }) =>
    `${name} ${value}`
  );
  assert.deepEqual(assumed, [
    "image-size 64x64",
    "pool token",
    "placement pre",
    "activation gelu",
    "normalization ln",
    "epsilon 0.000001",
  ]);
});

Deno.test("timmVit refuses the configuration of another model in the same folder", () => {
  const read = (values: Record<string, unknown>) => () => readAs(timmVit, viewOf(VIT, values), { heads: 6 });
  refuses(
    read({ architecture: "vit_tiny_patch16_224" }),
    "vit_tiny_patch16_224, of 192 channels",
    "tensors have 384",
  );
  refuses(read({ architecture: "resnet50" }), '"resnet50"', "another model's");
  refuses(read({ model_type: "gpt2" }), '"gpt2"', "another library's model");
  refuses(
    read({ architecture: "vit_base_patch16_xp_224", model_args: { depth: 1, embed_dim: 384 } }),
    "ParallelScalingBlock",
  );
});

Deno.test("timmVit takes an image that is no square from what is said", () => {
  const said = { num_heads: 6, img_size: [32, 128] };
  const { model } = readAs(timmVit, viewOf(VIT, said));
  assert.deepEqual(model.inputs.images!.shape, ["B", 3, 32, 128]);
});

Deno.test("timmVit interpolates positions for images of another size, and says so", () => {
  const read = (options: SettingOptions, said: Record<string, unknown> = {}) =>
    readAs(timmVit, viewOf(VIT, { num_heads: 6, ...said }), options);
  const { model, settled, locate } = read({ "image-size": "32x96" });
  assert.deepEqual(model.inputs.images!.shape, ["B", 3, 32, 96]);
  assert.equal(typeof locate!("pos_embed"), "object");
  const trained = settled.find(({ name }) => name === "trained-size");
  assert.equal(trained?.value, "64x64");
  assert.match(trained.why, /16 patches, taken as a square; positions are interpolated to 2x6 patches/);
  // As many patches as in the file are those of the file, unless something says that these were a square.
  assert.equal(read({ "image-size": "32x128" }).locate!("pos_embed"), "pos_embed");
  assert.equal(typeof read({ "image-size": "32x128" }, { img_size: 64 }).locate!("pos_embed"), "object");
  refuses(
    () => read({ "image-size": "32", "trained-size": "48" }),
    "17 positions",
    "48x48 has 9 patches",
  );
});

Deno.test("timmVit asks where residual post-norm has the same tensors", () => {
  const { cls_token: _, "norm.weight": __, "norm.bias": ___, "blocks.0.attn.qkv.bias": ____, ...rest } = VIT;
  const shapes = { ...rest, pos_embed: [1, 16, 384], "fc_norm.weight": [384], "fc_norm.bias": [384] };
  refuses(
    () => readAs(timmVit, viewOf(shapes, null), { heads: 6 }),
    "vit_base_patch16_rpn_224",
    "--set placement=",
  );
  const { settled } = readAs(timmVit, viewOf(shapes, null), { heads: 6, placement: "res-post" });
  assert.ok(settled.some(({ name, basis }) => name === "placement" && basis === "option"));
});

Deno.test("BatchNorm without statistics is refused where something says that it is one, and listed where nothing does", () => {
  refuses(
    () => readAs(timmVit, viewOf(VIT, { num_heads: 6, norm_layer: "batchnorm2d" })),
    'norm_layer "batchnorm2d"',
    "ln or rms",
  );
  refuses(
    () => readAs(timmVit, viewOf(VIT, { num_heads: 6, norm_layer: "rmsnorm" })),
    "biases, which RMSNorm has not",
  );
  const { settled } = readAs(timmVit, viewOf(VIT, { num_heads: 6 }));
  const { basis, why } = settled.find(({ name }) => name === "normalization")!;
  assert.deepEqual([basis, why], ["assumed", "weight and bias without statistics, nothing says otherwise"]);
});

Deno.test("readAs() refuses an option that this file has no choice in", () => {
  refuses(
    () => readAs(timmVit, viewOf(VIT, { num_heads: 6 }), { gate: "first" }),
    "--set gate=first",
    "has no choice of that",
  );
});

Deno.test("recogniseCheckpoint() says which weights a file has in eight bits, and whether their scale is there", () =>
  withFolder(async (folder) => {
    const stored = openCheckpoint(fixtureFile("timm_vit_un", "model.safetensors"));
    const path = join(folder, "model.safetensors");
    const [bare, scaled] = ["blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight"] as const;
    const eightBits = (name: string) => {
      const { shape, origin } = stored.tensor(name);
      return { dtype: "int8" as const, shape, origin, bytes: () => new Uint8Array(32 * 64) };
    };
    await writeSafetensors(path, [
      ...stored.names().map((name) =>
        [name, name === bare || name === scaled ? eightBits(name) : stored.tensor(name)] as const
      ),
      [`${scaled}_scale`, heldData([], Float64Array.of(0.5), "scale")],
    ]);
    const { quantized } = recogniseCheckpoint(path, { settings: { heads: 2 } });
    assert.deepEqual(quantized.toSorted((a, b) => a.name < b.name ? -1 : 1), [
      { name: bare, why: "I8 without a scale" },
      { name: scaled, why: "I8 times its scale, in fp32" },
    ]);
  }));
