/**
 * Tests of recognising Hugging Face's BERT by names, shapes and `config.json`; that it computes the same is
 * in `models/`.
 */
import { readAs } from "../../src/checkpoints/define.ts";
import assert from "node:assert/strict";
import { hfBert } from "../../src/checkpoints/layouts/hf_bert.ts";
import { refuses } from "../support.ts";
import { configOf, fixtureView, shapesOf, viewOf } from "./view.ts";

const SHAPES = shapesOf("bert_hf");
const CONFIG = configOf("bert_hf");

Deno.test("hfBert's signature matches BERT with and without its prefix", () => {
  for (const name of ["bert_hf", "bert_hf_masked_lm"]) {
    const names = fixtureView(name).names();
    for (const pattern of hfBert.signature) {
      assert.ok(names.some((tensor) => pattern.test(tensor)), `${name} ${pattern}`);
    }
  }
  const others = [
    "vit.encoder.layer.0.attention.attention.query.weight",
    "electra.embeddings.word_embeddings.weight",
  ];
  for (const pattern of hfBert.signature) {
    assert.ok(!others.some((tensor) => pattern.test(tensor)), `${pattern}`);
  }
});

Deno.test("hfBert takes names of TensorFlow's age, and names of a wrapped BERT", () => {
  const old = Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => [
      `bert.${name}`.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias",
        "LayerNorm.beta",
      ),
      shape,
    ]),
  );
  const { locate } = readAs(hfBert, viewOf(old, CONFIG), {});
  assert.equal(locate!("embeddings.LayerNorm.weight"), "bert.embeddings.LayerNorm.gamma");
  assert.equal(
    locate!("encoder.layer.1.output.LayerNorm.bias"),
    "bert.encoder.layer.1.output.LayerNorm.beta",
  );
  assert.equal(locate!("encoder.layer.1.output.dense.bias"), "bert.encoder.layer.1.output.dense.bias");
});

Deno.test("hfBert ignores what an encoder does not read, and nothing else", () => {
  const { ignored } = readAs(hfBert, fixtureView("bert_hf_masked_lm"), {});
  const isIgnored = (name: string) => ignored.some(({ pattern }) => pattern.test(name));
  const names = new Set([...fixtureView("bert_hf").names(), ...fixtureView("bert_hf_masked_lm").names()]);
  assert.deepEqual([...names].filter(isIgnored).sort(), [
    "cls.predictions.bias",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.dense.weight",
    "embeddings.position_ids",
    "pooler.dense.bias",
    "pooler.dense.weight",
  ]);
});

Deno.test("hfBert takes the heads from the configuration, or else as an option", () => {
  refuses(
    () => readAs(hfBert, viewOf(SHAPES, null), {}),
    "nothing tells the attention heads",
    "--heads",
  );
  assert.equal(readAs(hfBert, viewOf(SHAPES, null), { heads: 4 }).model.norm.family, "ln");
  refuses(
    () => readAs(hfBert, viewOf(SHAPES, null), { heads: 5 }),
    "32 channels do not divide among 5 heads",
  );
  refuses(
    () => readAs(hfBert, viewOf(SHAPES, CONFIG), { heads: 2 }),
    "--heads says 2",
    "num_attention_heads 4",
  );
});

Deno.test("hfBert refuses other networks under BERT's names, and a part of one", () => {
  const read = (changes: Record<string, unknown>) => () =>
    readAs(hfBert, viewOf(SHAPES, { ...CONFIG, ...changes }), {});
  refuses(read({ model_type: "electra" }), "model.safetensors", 'model_type "electra"', "bert, roberta");
  refuses(read({ position_embedding_type: "relative_key" }), 'position_embedding_type "relative_key"');
  refuses(read({ is_decoder: true }), "is_decoder true");
  refuses(read({ hidden_act: "mish" }), 'hidden_act "mish"', "gelu_tanh");
  refuses(read({ num_hidden_layers: 12 }), "num_hidden_layers 12", "the tensors say 2");
  refuses(read({ hidden_size: 64 }), "hidden_size 64", "the tensors say 32");
});

Deno.test("hfBert asks whose positions it has where neither names nor a configuration tell", () => {
  const { model_type: _, ...silent } = CONFIG;
  const kindOf = (shapes: typeof SHAPES, config = silent) =>
    readAs(hfBert, viewOf(shapes, config), {}).settled.find(({ name }) => name === "model-type");
  const one = { ...SHAPES, "embeddings.token_type_embeddings.weight": [1, 32] };
  refuses(() => kindOf(one), "nothing tells the network", "count positions differently", "--set model-type=");
  assert.deepEqual([kindOf(SHAPES)?.value, kindOf(SHAPES)?.basis], ["bert", "assumed"]);
  assert.equal(kindOf(one, { ...silent, model_type: "camembert" })?.value, "roberta");
  const wrapped = Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => [`roberta.${name}`, shape]),
  );
  assert.deepEqual([kindOf(wrapped)?.value, kindOf(wrapped)?.basis], ["roberta", "tensors"]);
  refuses(() => kindOf(wrapped, { ...silent, model_type: "bert" }), "begin with roberta.", "model_type bert");
});
