/** Tests of recognising fairseq's translation networks; that they compute the same is in `tests/networks`. */
import { readAs } from "../../src/checkpoints/define.ts";
import assert from "node:assert/strict";
import { fairseqTranslation } from "../../src/checkpoints/layouts/fairseq.ts";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { refuses } from "../support.ts";
import { fixtureFile, shapesOf, viewOf } from "./view.ts";

const SHAPES = shapesOf("fairseq_un");
const POWER = shapesOf("fairseq_power");
const ARGUMENTS = { encoder_attention_heads: 2, decoder_attention_heads: 2, share_all_embeddings: true };

const without = (shapes: typeof SHAPES, pattern: RegExp) =>
  Object.fromEntries(Object.entries(shapes).filter(([name]) => !pattern.test(name)));

const read = (shapes: typeof SHAPES, config: Record<string, unknown> | null = ARGUMENTS) =>
  readAs(fairseqTranslation, viewOf(shapes, config), {});

Deno.test("fairseqTranslation reads an averaged file: its arguments, and its integer buffers are ignored", () => {
  const { format, model, ignored } = recogniseCheckpoint(
    fixtureFile("fairseq_un_averaged", "checkpoint_avg_10.pt"),
  );
  assert.equal(format, "fairseq translation Transformer");
  assert.equal(model.norm.family, "un");
  assert.deepEqual(model.dims, { S: { min: 1, opt: 24, max: 24 }, T: { min: 1, opt: 24, max: 24 } });
  const whyOf = (name: string) => ignored.find((tensor) => tensor.name === name)?.why;
  assert.equal(whyOf("encoder.layer_norm.iters"), "a buffer of training with Unified Normalization");
  assert.equal(whyOf("encoder.layer_norm.buffer_x2"), "a buffer of training with Unified Normalization");
  assert.equal(whyOf("decoder.version"), "fairseq's version of the layout");
  assert.equal(
    whyOf("decoder.output_projection.weight"),
    "the embedding of the source again, which all share",
  );
  assert.equal(whyOf("encoder.layer_norm.running_var"), undefined);
});

Deno.test("fairseqTranslation takes the arguments of both ages, else what is given, else the usual heads", () => {
  const nested = { task: {}, model: ARGUMENTS };
  assert.equal(read(SHAPES, nested).model.norm.family, "un");
  assert.equal(readAs(fairseqTranslation, viewOf(SHAPES, null), { heads: 4 }).model.name, "translation");
  const wide = { ...SHAPES };
  for (const name of Object.keys(wide)) {
    if (/embed_tokens/.test(name)) wide[name] = [40, 512];
    if (/fc1\.weight$/.test(name)) wide[name] = [1024, 512];
  }
  assert.equal(read(wide, null).model.name, "translation");
});

Deno.test("fairseqTranslation finds the output projection wherever it is", () => {
  const output = "decoder.output_projection.weight";
  assert.equal(read(SHAPES, { ...ARGUMENTS, share_all_embeddings: false }).locate!(output), output);
  const old = { ...without(SHAPES, /output_projection/), "decoder.embed_out": [40, 16] };
  assert.equal(read(old).locate!(output), "decoder.embed_out");
  assert.equal(read(without(SHAPES, /output_projection/)).locate!(output), "decoder.embed_tokens.weight");
});

Deno.test("fairseqTranslation tells the normalization by what it leaves", () => {
  assert.equal(read(POWER).model.norm.family, "pngs");
  assert.equal(read(shapesOf("fairseq_ln")).model.norm.family, "ln");
  const part = without(POWER, /encoder\.layers\.0\.final_layer_norm\.running_phi$/);
  refuses(() => read(part), "encoder.layers.0.final_layer_norm.ema_gz", "the file lacks a part");
  const mixed = without(POWER, /encoder\.layers\.0\.final_layer_norm\.(running_phi|ema_gz|iters)$/);
  assert.equal(read(mixed).model.norm.label, "PowerNorm with GroupScaling and Layer Normalization");
});

Deno.test("fairseqTranslation counts positions unless sources are said to be padded on the right", () => {
  const paddingOf = (config: Record<string, unknown>) =>
    read(SHAPES, config).settled.filter(({ name }) => name === "padding").map((
      { value, basis },
    ) => [value, basis]);
  assert.deepEqual(paddingOf(ARGUMENTS), [["left", "assumed"]]);
  assert.deepEqual(paddingOf({ ...ARGUMENTS, left_pad_source: false }), [["right", "said"]]);
  assert.deepEqual(paddingOf({ ...ARGUMENTS, left_pad_source: "True" }), [["left", "said"]]);
  // Since 0.10.1 it is of the task.
  assert.deepEqual(paddingOf({ task: { left_pad_source: false }, model: ARGUMENTS }), [["right", "said"]]);
});

Deno.test("fairseqTranslation reads PowerNorm's own Batch Normalization, and asks where nothing tells the form", () => {
  const batch = Object.fromEntries(
    Object.entries(POWER).flatMap(([name, shape]) =>
      !name.endsWith("running_phi")
        ? /(ema_gz|iters)$/.test(name) ? [] : [[name, shape]]
        : ["running_mean", "running_var"].map((leaf) => [name.replace("running_phi", leaf), [16]])
    ),
  );
  const said = read(batch, { ...ARGUMENTS, encoder_norm_ff: "batch" });
  assert.equal(said.model.norm.label, "Batch Normalization of scaled tokens");
  assert.deepEqual(said.settled.find(({ name }) => name === "batch-norm"), {
    name: "batch-norm",
    value: "scaled",
    basis: "published",
    why: 'the arguments say encoder_norm_ff "batch", PowerNorm\'s own',
  });
  refuses(() => read(batch), "nothing tells the form of the Batch Normalization", "--set batch-norm=VALUE");
  const plain = readAs(fairseqTranslation, viewOf(batch, ARGUMENTS), { "batch-norm": "plain" });
  assert.equal(plain.model.norm.label, "Batch Normalization");
});

Deno.test("fairseqTranslation refuses what it cannot know or does not fit", () => {
  const cases: [shapes: typeof SHAPES, config: Record<string, unknown> | null, ...fragments: string[]][] = [
    [SHAPES, null, "nothing tells the attention heads", "--heads"],
    [
      SHAPES,
      { ...ARGUMENTS, encoder_attention_heads: 3, decoder_attention_heads: 3 },
      "16 channels do not divide",
    ],
    [SHAPES, { ...ARGUMENTS, decoder_attention_heads: 4 }, "decoder_attention_heads 4", "with 2 only"],
    [SHAPES, { ...ARGUMENTS, activation_fn: "gelu" }, 'activation_fn "gelu"'],
    [SHAPES, { ...ARGUMENTS, encoder_normalize_before: false }, "encoder_normalize_before false"],
    [without(SHAPES, /^decoder\.layer_norm\./), ARGUMENTS, "one stack and not of the other"],
    [{ ...SHAPES, "decoder.layers.5.fc1.bias": [32] }, ARGUMENTS, "no layer 2", "part of a checkpoint"],
    [
      { ...SHAPES, "encoder.embed_positions.weight": [26, 16] },
      ARGUMENTS,
      "encoder.embed_positions.weight",
      "sinusoidal",
    ],
    [{ ...SHAPES, "decoder.embed_tokens.weight": [40, 24] }, ARGUMENTS, "16 channels and the decoder 24"],
  ];
  for (const [shapes, config, ...fragments] of cases) refuses(() => read(shapes, config), ...fragments);
});
