/** What formats of networks for images find out from names and shapes alone, and what they refuse. */
import assert from "node:assert/strict";
import { type CheckpointFormat, type CheckpointView, readAs } from "../../src/checkpoints/define.ts";
import { FORMATS, NOT_READ } from "../../src/checkpoints/formats.ts";
import { cswinFormat } from "../../src/checkpoints/layouts/cswin.ts";
import { hfDino } from "../../src/checkpoints/layouts/hf_dino.ts";
import { hfVit } from "../../src/checkpoints/layouts/hf_vit.ts";
import type { SettingOptions } from "../../src/checkpoints/settings.ts";
import { pvtFormat } from "../../src/checkpoints/layouts/pvt.ts";
import { slabDeitFormat } from "../../src/checkpoints/layouts/slab.ts";
import { slabSwin } from "../../src/checkpoints/layouts/swin/slab.ts";
import { timmSwin } from "../../src/checkpoints/layouts/swin/classifier.ts";
import { detectionSwin } from "../../src/checkpoints/layouts/swin/backbone.ts";
import { t2tVitFormat } from "../../src/checkpoints/layouts/t2t_vit.ts";
import { timmVit } from "../../src/checkpoints/layouts/timm_vit.ts";
import { topological } from "../../src/ir/graph.ts";
import type { Shape } from "../../src/ir/shape.ts";
import { cswin, CSWIN_T, SLAB_CSWIN_T } from "../../src/models/cswin.ts";
import { pvt, PVT_TINY, SLAB_PVT_TINY } from "../../src/models/pvt.ts";
import { SLAB_DEIT_TI, slabDeit } from "../../src/models/slab.ts";
import { swin, SWIN_T, SWIN_T_BACKBONE, swinBackbone } from "../../src/models/swin.ts";
import { T2T_VIT_14, t2tVit } from "../../src/models/t2t_vit.ts";
import { DEIT_TI, vit, VIT_B16 } from "../../src/models/vit.ts";
import type { Model } from "../../src/dsl/model.ts";
import { isOp } from "../../src/ops/table.ts";
import { batchNorm, layerNorm, repBatchNorm, unifiedNorm } from "../../src/norms/families.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { refuses } from "../support.ts";
import { configOf, shapesOf, viewOf } from "./view.ts";

/** The parameters of a model, which are the names of its own checkpoint. */
function parametersOf(model: Model): Record<string, readonly number[]> {
  const shapes: Record<string, readonly number[]> = {};
  const random = randomWeights({ seed: 0 });
  model.trace({
    weights: {
      ...random,
      origin: "names",
      take: (name, shape, hint) => {
        shapes[name] = shape;
        return random.take(name, shape, hint);
      },
      unused: () => [],
    },
  });
  return shapes;
}

const imageOf = (model: Model): Shape => model.inputs.images!.shape;

/** A model's parameters and family come back from its own names. */
function comesBack(model: Model, format: CheckpointFormat, config: CheckpointView["config"] = null): Model {
  const shapes = parametersOf(model);
  const found = readAs(format, viewOf(shapes, config), {}).model;
  assert.deepEqual(parametersOf(found), shapes);
  assert.deepEqual(imageOf(found), imageOf(model));
  assert.equal(found.norm.family, model.norm.family);
  return found;
}

Deno.test("formats find the published sizes again", () => {
  comesBack(vit(VIT_B16), timmVit);
  comesBack(vit(DEIT_TI, { norm: unifiedNorm() }), timmVit);
  comesBack(vit({ ...DEIT_TI, layerScale: true, classToken: "unplaced" }, { norm: batchNorm() }), timmVit);
  comesBack(vit({ ...DEIT_TI, classToken: "none", pool: "mean", qkvBias: false }), timmVit);
  comesBack(t2tVit(T2T_VIT_14), t2tVitFormat, { num_heads: 6 });
  comesBack(swin(SWIN_T, { norm: layerNorm() }), timmSwin);
  comesBack(swinBackbone(SWIN_T_BACKBONE, { norm: unifiedNorm() }), detectionSwin);
  comesBack(swinBackbone({ ...SWIN_T_BACKBONE, image: [64, 96], laterals: null }), detectionSwin, {
    image_size: [64, 96],
  });
  comesBack(slabDeit(SLAB_DEIT_TI, { norm: repBatchNorm() }), slabDeitFormat);
  // With PRepBN alone, as SLAB trains them too.
  comesBack(swin(SWIN_T, { norm: repBatchNorm() }), timmSwin);
  comesBack(swin(SWIN_T, { norm: repBatchNorm({ within: "" }) }), timmSwin);
  comesBack(swinBackbone(SWIN_T_BACKBONE, { norm: repBatchNorm() }), detectionSwin);
  // SLAB-Swin-T: LLSS, linear attention over the whole grid.
  const linear = [[2, 56], [2, 28], [0, 7], [0, 7]].map(([blocks, window]) => ({
    blocks: blocks!,
    window: window!,
    kernel: 5,
  }));
  comesBack(swin({ ...SWIN_T, linear }, { norm: repBatchNorm() }), slabSwin);
  comesBack(pvt(PVT_TINY), pvtFormat);
  comesBack(pvt({ ...PVT_TINY, classes: null, qkvBias: false }, { norm: unifiedNorm() }), pvtFormat);
  // SLAB's with PRepBN alone, and with linear attention whose keys are fewer.
  const plain = { classToken: false, lastNorm: false };
  comesBack(pvt({ ...PVT_TINY, ...plain }, { norm: repBatchNorm() }), pvtFormat);
  comesBack(pvt(SLAB_PVT_TINY), pvtFormat);
  const reduced = PVT_TINY.stages.map((stage) => ({ ...stage, kernel: 5 }));
  comesBack(pvt({ ...SLAB_PVT_TINY, stages: reduced }), pvtFormat);
  comesBack(cswin(CSWIN_T), cswinFormat, { img_size: 224 });
  comesBack(cswin(SLAB_CSWIN_T), cswinFormat);
});

Deno.test("timmSwin knows the authors' names of several scales from timm's, which end where those begin", () => {
  const shapes = parametersOf(swin(SWIN_T));
  const { locate } = readAs(timmSwin, viewOf(shapes, null), {});
  assert.equal(locate!("layers.1.downsample.norm.weight"), "layers.1.downsample.norm.weight");
  const timms = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name.replace(/(?<=layers\.)\d(?=\.downsample)/, (i) => String(Number(i) + 1)),
      shape,
    ]),
  );
  const of = readAs(timmSwin, viewOf(timms, null), { "image-size": "224" });
  assert.equal(of.locate!("layers.1.downsample.norm.weight"), "layers.2.downsample.norm.weight");
});

const settledOf = (
  [format, shapes, config]: [CheckpointFormat, Record<string, readonly number[]>, CheckpointView["config"]?],
  options: Record<string, string> = {},
) =>
  new Map(
    readAs(format, viewOf(shapes, config ?? null), options).settled.map((value) => [value.name, value]),
  );

Deno.test("pvtFormat says what it assumes of heads and images, and refuses what does not fit", () => {
  const shapes = parametersOf(pvt(PVT_TINY));
  const settled = settledOf([pvtFormat, shapes]);
  assert.deepEqual(settled.get("stage-heads"), {
    name: "stage-heads",
    value: "1x2x5x8",
    basis: "assumed",
    why: "64 channels a head, as in every published PVT, nothing in the file says",
  });
  assert.equal(settled.get("image-size")?.why, "pos_embed1 has 3136 positions, taken as a square");
  // Linear attention's kernels are of a head.
  const linear = settledOf([pvtFormat, parametersOf(pvt(SLAB_PVT_TINY))]).get("stage-heads");
  assert.equal(linear?.basis, "tensors");
  const read = (options: Record<string, string>, changed = {}) => () =>
    readAs(pvtFormat, viewOf({ ...shapes, ...changed }, null), options);
  read({ "stage-heads": "2x2x5x8" })();
  refuses(read({ "stage-heads": "2x2x5" }), "3 numbers of heads for 4 stages");
  refuses(read({ "stage-heads": "1x2x7x8" }), "7 heads for the 320 channels of stage 3");
  refuses(read({ "image-size": "256" }), "images of 256x256 have 4096 tokens in stage 1", "3136 positions");
  refuses(read({}, { pos_embed1: [1, 3000, 64] }), "3000 positions, which are no square", "--image-size");
  refuses(read({}, { "block1.1.attn.sr.weight": [64, 64, 4, 4] }), "block1.1.attn has another attention");
  refuses(
    () =>
      readAs(
        pvtFormat,
        viewOf({ ...parametersOf(pvt(SLAB_PVT_TINY)), "block1.0.attn.dwc.weight": [48, 1, 5, 5] }, null),
        {},
      ),
    "heads of 48 channels",
    "block1.0.attn.dwc.weight",
  );
});

Deno.test("pvtFormat has PyTorch's epsilon in patches and reductions and its own in blocks, as PVT's code", () => {
  const { model } = readAs(pvtFormat, viewOf(parametersOf(pvt(PVT_TINY)), null), {});
  const graph = model.trace({ weights: randomWeights({ seed: 0 }) });
  const epsilons = new Map(
    topological(graph).flatMap((node) =>
      isOp(node, "layer_norm") ? [[node.name.replace(/\/.*/, ""), node.attrs.epsilon]] : []
    ),
  );
  const of = (scope: string) => [...epsilons].find(([name]) => name.startsWith(scope))?.[1];
  assert.equal(epsilons.size, 4 + 3 * 2 + 2 * 8 + 1);
  assert.deepEqual(
    ["patch_embed2.norm", "block1.0.attn.norm", "block1.0.norm1", "norm"].map(of),
    [1e-5, 1e-5, 1e-6, 1e-6],
  );
  // `save_for_unfold` writes those of all modules, the patches' first.
  const settled = (epsilon: unknown) =>
    settledOf([pvtFormat, parametersOf(pvt(PVT_TINY)), { epsilon }]).get("epsilon")?.value;
  assert.equal(settled([1e-5, 1e-4]), "0.0001");
  refuses(() => settled([1e-4, 1e-3]), "epsilon [0.0001,0.001]", "a number above 0");
});

Deno.test("cswinFormat asks for images, assumes the stripes and heads that are published, and says so", () => {
  const shapes = parametersOf(cswin(CSWIN_T));
  refuses(() => readAs(cswinFormat, viewOf(shapes, null), {}), "size of the images", "for 224 and for 384");
  const settled = settledOf([cswinFormat, shapes], { "image-size": "224" });
  assert.deepEqual(
    ["stage-heads", "split-size"].map((name) => [settled.get(name)?.value, settled.get(name)?.basis]),
    [["2x4x8x16", "assumed"], ["1x2x7x7", "assumed"]],
  );
  assert.equal(
    settledOf([cswinFormat, shapes], { "image-size": "384" }).get("split-size")?.value,
    "1x2x12x12",
  );
  const linear = settledOf([cswinFormat, parametersOf(cswin(SLAB_CSWIN_T))]);
  assert.deepEqual([linear.get("image-size")?.value, linear.get("image-size")?.basis], [
    "224x224",
    "tensors",
  ]);
  const read = (options: Record<string, string>) => () =>
    readAs(cswinFormat, viewOf(shapes, null), { "image-size": "224", ...options });
  read({ "split-size": "2x4x14x7" });
  refuses(read({ "split-size": "1x2x5x7" }), "stripes of 5 do not divide the 14x14 tokens of stage 3");
  refuses(read({ "split-size": "1x2x14x7" }), "stripes of 14", "into two or more");
  refuses(read({ "stage-heads": "1x4x8x16" }), "1 heads for the 64 channels of stage 1");
  refuses(read({ "image-size": "200" }), "multiples of 32");
  refuses(read({ "image-size": "224x448" }), "square images");
  const other = parametersOf(cswin({ ...CSWIN_T, channels: 32 }));
  refuses(
    () => readAs(cswinFormat, viewOf(other, { img_size: 224 }), {}),
    "published of 64, 96, 144 channels, this one has 32",
    "--set stage-heads",
  );
});

Deno.test("cswinFormat refuses stripes and blocks that SLAB's code does not make", () => {
  const shapes = parametersOf(cswin(SLAB_CSWIN_T));
  const read = (changed: Record<string, readonly number[]>, options = {}) => () =>
    readAs(cswinFormat, viewOf({ ...shapes, ...changed }, null), options);
  const places = "stage1.1.attns.0.positional_encoding";
  refuses(read({ [places]: [1, 784, 64] }), "images of 224x224 have 3136 tokens at stage1.1", "784");
  refuses(read({}, { "image-size": "112" }), "the tensors say 224x224", "112x112");
  const { "stage1.0.attns.0.dwc.weight": _, ...rest } = shapes;
  refuses(
    () => readAs(cswinFormat, viewOf(rest, null), {}),
    "stage1.1 has another attention than the block before it",
  );
});

Deno.test("slabSwin knows images by masks, which sizes that are said must fit", () => {
  const shapes = shapesOf("slab_swin_prepbn");
  const read = (changed: Record<string, readonly number[]>, options: Record<string, string> = {}) =>
    readAs(slabSwin, viewOf({ ...shapes, ...changed }, null), options);
  const settled = (name: string) => read({}).settled.find((value) => value.name === name);
  assert.deepEqual(
    [settled("image-size")?.value, settled("image-size")?.basis, settled("image-size")?.why],
    ["32x32", "assumed", "layers.0.blocks.1.attn_mask has 4 windows of 4x4, taken as a square"],
  );
  assert.equal(settled("epsilon")?.value, "0.00001");
  const said = viewOf(shapes, null);
  const config = (size: number): CheckpointView => ({
    ...said,
    statements: [{
      origin: "the file's own config",
      kind: "arguments",
      values: { DATA: { IMG_SIZE: size } },
    }],
  });
  assert.equal(
    readAs(slabSwin, config(32)).settled.find(({ name }) => name === "image-size")?.why,
    "the file's own config says DATA.IMG_SIZE",
  );
  refuses(() => readAs(slabSwin, config(64)), "64x64", "16x16 tokens", "mask of 16 windows", "of 4 windows");
  refuses(() => read({}, { "image-size": "24" }), "6x6 tokens", "not whole windows of 4x4");
  refuses(() => read({ "layers.0.blocks.1.attn_mask": [3, 16, 16] }), "3 windows", "no square");
});

Deno.test("slabSwin refuses blocks that SLAB's code does not make", () => {
  const shapes = shapesOf("slab_swin_prepbn");
  const at = "layers.0.blocks.1.attn";
  refuses(
    () => readAs(slabSwin, viewOf({ ...shapes, [`${at}.dwc.weight`]: [3, 1, 5, 5] }, null)),
    at,
    "8 channels",
    "heads of 3",
  );
  refuses(
    () => readAs(slabSwin, viewOf({ ...shapes, [`${at}.positional_encoding`]: [1, 12, 8] }, null)),
    "12 places",
  );
  refuses(
    () => readAs(slabSwin, viewOf({ ...shapes, [`${at}.dwc.weight`]: [4, 1, 5, 5] }, null)),
    "layers.0.blocks.1",
    "2 heads",
    "one number of heads",
  );
  const { "layers.0.blocks.0.attn.dwc.weight": _, ...rest } = shapes;
  refuses(
    () =>
      readAs(
        slabSwin,
        viewOf({ ...rest, "layers.0.blocks.0.attn.relative_position_bias_table": [49, 1] }, null),
      ),
    "layers.0.blocks.1 has linear attention",
    "first blocks",
  );
});

Deno.test("timmVit adds 1e-6 to the variance, as timm does", () => {
  const { norm } = comesBack(vit(DEIT_TI), timmVit);
  assert.equal(norm.label, "Layer Normalization");
  const graph = comesBack(vit({ ...DEIT_TI, depth: 1 }), timmVit, { num_heads: 3 }).trace({
    weights: randomWeights({ seed: 0 }),
  });
  const found = JSON.stringify(graph.outputs, (key, value) => key === "data" ? undefined : value);
  assert.ok(found.includes('"epsilon":0.000001'), "epsilon");
});

Deno.test("a file without all it takes to know a network is refused, with what is missing", () => {
  const small = { ...DEIT_TI, channels: 48, hidden: 96, depth: 1, heads: 4 };
  const shapes = parametersOf(vit(small));
  refuses(
    () => readAs(timmVit, viewOf(shapes, null), {}),
    "model.safetensors",
    "nothing tells the attention heads",
  );
  refuses(
    () => readAs(timmVit, viewOf(shapes, null), { heads: 5 }),
    "48 channels do not divide among 5 heads",
  );
  refuses(
    () => readAs(timmVit, viewOf({ ...shapes, "blocks.0.attn.lambda_k1": [12] }, null), { heads: 4 }),
    "differential attention",
    "lambda_k1",
  );
  refuses(
    () => readAs(timmVit, viewOf({ ...shapes, pos_embed: [1, 200, 48] }, null), { heads: 4 }),
    "pos_embed",
    "200",
  );
  const { "blocks.1.norm1.bias": _, ...depth } = parametersOf(vit({ ...small, depth: 3 }));
  const gap = Object.fromEntries(Object.entries(depth).filter(([name]) => !name.startsWith("blocks.1.")));
  refuses(() => readAs(timmVit, viewOf(gap, null), { heads: 4 }), "no layer 1");
  refuses(
    () => readAs(timmVit, viewOf({ ...shapes, "norm.running_var": [48] }, null), { heads: 4 }),
    "two kinds",
  );
});

Deno.test("a configuration that contradicts the file, or names another network, is refused", () => {
  const shapes = {
    "vit.embeddings.patch_embeddings.projection.weight": [48, 3, 16, 16],
    "vit.embeddings.position_embeddings": [1, 197, 48],
    "vit.encoder.layer.0.layernorm_before.weight": [48],
    "vit.encoder.layer.0.intermediate.dense.weight": [96, 48],
    "vit.encoder.layer.0.attention.attention.query.bias": [48],
    "classifier.weight": [10, 48],
  };
  refuses(
    () => readAs(hfVit, viewOf(shapes, { num_attention_heads: 4, hidden_act: "mish" }), {}),
    'hidden_act "mish"',
  );
  refuses(
    () => readAs(hfVit, viewOf(shapes, { num_attention_heads: 5 }), {}),
    "48 channels do not divide among 5 heads",
  );
});

Deno.test("transformers' positions are interpolated from what its configuration says, and it is told", () => {
  const read = (config: Record<string, unknown>, options: SettingOptions) =>
    readAs(
      hfDino,
      viewOf(shapesOf("hf_dinov2_resized"), { ...configOf("hf_dinov2_resized"), ...config }),
      options,
    );
  const { model, locate, settled } = read({}, { "image-size": "16x8" });
  assert.deepEqual(imageOf(model), ["B", 3, 16, 8]);
  assert.equal(typeof locate!("pos_embed"), "object");
  const { value, basis, why } = settled.find(({ name }) => name === "trained-size")!;
  assert.deepEqual([value, basis], ["12x12", "assumed"]);
  assert.match(why, /config.json says image_size; positions are interpolated to 4x2 patches/);
  assert.equal(read({}, {}).locate!("pos_embed"), "embeddings.position_embeddings");
  // As many patches in another form are still those of the square that DINOv2 learns.
  assert.equal(typeof read({ image_size: null }, { "image-size": "36x4" }).locate!("pos_embed"), "object");
  refuses(
    () => read({ image_size: 16 }, {}),
    "10 positions",
    "16x16 has 16 patches",
    "config.json says image_size",
  );
  refuses(() => read({}, { "image-size": "16x8", "trained-size": "8" }), "8x8 has 4 patches");
});

Deno.test("hfDino refuses configurations of other networks and of other sizes, and asks where it must", () => {
  const shapes = shapesOf("hf_dinov3");
  const read = (config: Record<string, unknown> | null, options: SettingOptions = {}) => () =>
    readAs(hfDino, viewOf(shapes, config && { ...configOf("hf_dinov3"), ...config }), options);
  read({})();
  refuses(read({ model_type: "ijepa" }), 'model_type "ijepa"', '"dinov2_with_registers"');
  refuses(read({ num_channels: 1 }), "num_channels 1");
  refuses(read({ hidden_size: 32 }), "hidden_size 32, the tensors say 16");
  refuses(read({ num_hidden_layers: 3 }), "num_hidden_layers 3, the tensors say 2");
  refuses(read({ patch_size: 14 }), "patch_size 14, the tensors say 4");
  refuses(read({ intermediate_size: 32 }), "intermediate_size 32, the tensors say 24");
  refuses(read({ num_attention_heads: 3 }), "16 channels do not divide among 3 heads");
  refuses(read({ hidden_act: "mish" }), 'hidden_act "mish"');
  refuses(read({ architecture: "vit_small_patch16_dinov3" }), "another library's model");
  // Without a configuration: heads of 16 channels, and images, of which rotations tell nothing.
  refuses(read(null, { "image-size": "12" }), "nothing tells the attention heads", "--heads");
  refuses(read(null, { heads: 2 }), "no learned positions tell it", "--image-size");
  refuses(read({}, { "trained-size": "12" }), "has no choice of that");
  const { settled } = read(null, { heads: 2, "image-size": "12" })();
  assert.deepEqual(
    settled.filter(({ basis }) => basis === "assumed").map(({ name, value }) => `${name} ${value}`),
    ["activation gelu", "rope-theta 100", "normalization ln", "epsilon 0.00001"],
  );
});

Deno.test("timmSwin takes the size of the images from the masks of the authors' files", () => {
  const shapes = parametersOf(swin({ ...SWIN_T, depths: [2, 2], heads: [3, 6], image: [112, 112] }));
  const masked = { ...shapes, "layers.0.blocks.1.attn_mask": [16, 49, 49] };
  assert.deepEqual(imageOf(readAs(timmSwin, viewOf(masked, null), {}).model), ["B", 3, 112, 112]);
  assert.deepEqual(imageOf(readAs(timmSwin, viewOf(shapes, null), {}).model), ["B", 3, 224, 224]);
});

Deno.test("timmSwin refuses heads that do not divide the channels", () => {
  const shapes = parametersOf(swin({ ...SWIN_T, depths: [1], heads: [3] }));
  const table = "layers.0.blocks.0.attn.relative_position_bias_table";
  refuses(
    () => readAs(timmSwin, viewOf({ ...shapes, [table]: [169, 5] }, null), {}),
    "96 channels do not divide among 5 heads",
    table,
  );
});

Deno.test("timmSwin takes windows of each axis from the table and the size of the images", () => {
  const wide = { ...SWIN_T, depths: [2, 2], heads: [3, 6], image: [28, 56], cut: "axes" } as const;
  const shapes = Object.fromEntries(
    Object.entries(parametersOf(swin({ ...wide, window: [7, [4, 7]] }))).map(([name, shape]) => [
      name.replace("layers.0.downsample", "layers.1.downsample").replace(/^head/, "head.fc"),
      shape,
    ]),
  );
  const args = { "image-size": "28x56" };
  assert.deepEqual(imageOf(readAs(timmSwin, viewOf(shapes, null), args).model), ["B", 3, 28, 56]);
  refuses(
    () => readAs(timmSwin, viewOf(shapes, null), { "image-size": "56x56" }),
    "scale 1 has 7x7 tokens, of which no square window has 91 relative positions",
    "--image-size",
  );
  const said = { pretrained_cfg: { input_size: [3, 28, 56] } };
  const config = (window: unknown) => ({ ...said, model_args: { window_size: window } });
  readAs(timmSwin, viewOf(shapes, config([7, 7])), {});
  refuses(() => readAs(timmSwin, viewOf(shapes, config([7, 8])), {}), "no window of 7x8");
  refuses(() => readAs(timmSwin, viewOf(shapes, config("7")), {}), 'model_args.window_size "7"');
  refuses(
    () => readAs(timmSwin, viewOf(shapes, { ...said, model_args: { always_partition: true } }), {}),
    "always_partition true",
  );
  refuses(
    () => readAs(timmSwin, viewOf(shapes, { ...said, model_args: { global_pool: "max" } }), {}),
    "pool max: UNfold has Swin Transformers with the mean of all tokens",
  );
});

Deno.test("timmSwin takes sizes that fill the positions and masks of the authors' files, and no other", () => {
  const placed = { ...SWIN_T, depths: [2], heads: [3], image: [56, 56], positions: "tokens" } as const;
  const shapes = parametersOf(swin(placed));
  assert.deepEqual(imageOf(readAs(timmSwin, viewOf(shapes, null), {}).model), ["B", 3, 56, 56]);
  const wide = readAs(timmSwin, viewOf(shapes, null), { "image-size": "28x112" }).model;
  assert.deepEqual(imageOf(wide), ["B", 3, 28, 112]);
  refuses(
    () => readAs(timmSwin, viewOf(shapes, null), { "image-size": 112 }),
    "images of 112x112 are not those of the file: absolute_pos_embed has 196 positions",
  );
});

Deno.test("a backbone reads laterals of its outputs alone, and leaves scales behind the last one", () => {
  const network = {
    ...SWIN_T_BACKBONE,
    depths: [1, 1, 1],
    heads: [3, 6, 12],
    image: [64, 64],
    laterals: 8,
  } as const;
  const shapes = parametersOf(swinBackbone(network));
  const outputs = (changed: Record<string, readonly number[]>) => {
    const found = readAs(detectionSwin, viewOf(changed, { image_size: 64 }), {});
    const { outputs } = found.model.trace({ weights: randomWeights({ seed: 0 }) });
    return outputs.map(({ name, node }) => `${name} ${node.type.shape[1]}`);
  };
  assert.deepEqual(outputs(shapes), ["stage0 8", "stage1 8", "stage2 8"]);
  const one = Object.fromEntries(Object.entries(shapes).filter(([name]) => !/^norm[02]|^neck/.test(name)));
  assert.deepEqual(outputs(one), ["stage1 192"]);
  const others = { ...one, "neck.lateral_convs.0.conv.weight": [8, 96, 1, 1] };
  assert.deepEqual(outputs(others), ["stage1 192"]);
});

Deno.test("timmVit finds layer-scale under every name that it has in published code", () => {
  const shapes = parametersOf(vit({ ...DEIT_TI, depth: 1, layerScale: true }));
  for (const written of ["ls$1.gamma", "ls$1.weight", "ls$1.scale", "ls$1", "gamma_$1"]) {
    const name = (parameter: string) => parameter.replace(/ls([12])\.gamma$/, written);
    const file = Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [name(key), shape]));
    const { model, locate } = readAs(timmVit, viewOf(file, { num_heads: 3 }), {});
    const found = parametersOf(model);
    assert.deepEqual(found, shapes, written);
    assert.deepEqual(Object.keys(found).map((key) => locate!(key)), Object.keys(found).map(name), written);
  }
});

Deno.test("another factor on the logits is read, asked for where two are published, or refused", () => {
  const old = { ...DEIT_TI, channels: 768, depth: 8, heads: 8, hidden: 2304 };
  const shapes = parametersOf(vit(old));
  refuses(() => readAs(timmVit, viewOf(shapes, null), {}), "768 ** -0.5", "--set qk-scale=VALUE");
  const { settled } = readAs(timmVit, viewOf(shapes, null), { "qk-scale": "0.036" });
  assert.deepEqual(settled.find(({ name }) => name === "qk-scale")?.value, "0.036");
  const small = parametersOf(vit(DEIT_TI));
  const said = readAs(timmVit, viewOf(small, { num_heads: 3, qk_scale: 0.25 }), {}).settled;
  assert.equal(said.find(({ name }) => name === "qk-scale")?.basis, "said");
  refuses(
    () => readAs(timmSwin, viewOf(parametersOf(swin(SWIN_T)), { MODEL: { SWIN: { QK_SCALE: 0.25 } } }), {}),
    "QK_SCALE 0.25",
    "1 / sqrt(channels of a head)",
  );
});

Deno.test("timmVit asks for the size of images where two fit the positions", () => {
  const small = { ...DEIT_TI, depth: 1, image: 32, patch: 16, registers: { count: 4, placed: true } };
  const shapes = parametersOf(vit(small));
  refuses(
    () => readAs(timmVit, viewOf(shapes, { num_heads: 3 }), {}),
    "9 patches and of 4 patches, by whether the 5 other tokens have one",
    "--image-size VALUE",
  );
  const { model } = readAs(timmVit, viewOf(shapes, { num_heads: 3 }), { "image-size": "32" });
  assert.deepEqual(parametersOf(model), shapes);
  assert.deepEqual(imageOf(model), ["B", 3, 32, 32]);
});

Deno.test("timmVit refuses rotations that are told by timm's arguments alone and are not DINOv3's", () => {
  const args = (more: object) => ({ num_heads: 3, model_args: more });
  const learned = parametersOf(vit(DEIT_TI));
  refuses(
    () => readAs(timmVit, viewOf(learned, args({ use_rot_pos_emb: true })), {}),
    "use_rot_pos_emb true",
  );
  const rotary = parametersOf(vit({ ...DEIT_TI, classToken: "unplaced", positions: { theta: 100 } }));
  const said = { pos_embed: "dinov3", img_size: 224 };
  readAs(timmVit, viewOf(rotary, args({ ...said, rope_rotate_half: true })), {});
  refuses(
    () => readAs(timmVit, viewOf(rotary, args({ ...said, rope_rotate_half: false })), {}),
    "rope_rotate_half false",
  );
});

Deno.test("PVT v2 is refused by name, and is none of the layouts", () => {
  const names = ["patch_embed1.proj.weight", "block1.0.attn.kv.weight", "block1.0.mlp.dwconv.dwconv.weight"];
  const isOf = ({ signature }: Pick<CheckpointFormat, "signature">) =>
    signature.every((pattern) => names.some((name) => pattern.test(name)));
  assert.match(NOT_READ.find(isOf)!.what, /PVT v2/);
  assert.equal(FORMATS.find(isOf), undefined);
});
