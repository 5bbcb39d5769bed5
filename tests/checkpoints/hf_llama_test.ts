/** Tests of recognising Hugging Face's Llama; that it computes the same is in `tests/networks`. */
import { readAs } from "../../src/checkpoints/define.ts";
import assert from "node:assert/strict";
import { hfLlama } from "../../src/checkpoints/layouts/hf_llama.ts";
import { refuses } from "../support.ts";
import { configOf, shapesOf, viewOf } from "./view.ts";

const SHAPES = shapesOf("llama");
const CONFIG = configOf("llama");
const read = (shapes: typeof SHAPES, config: Record<string, unknown> | null) =>
  readAs(hfLlama, viewOf(shapes, config), {});

Deno.test("hfLlama is not the networks that have Llama's names and more", () => {
  const of = (name: string) => hfLlama.without!.some((pattern) => pattern.test(name));
  assert.ok(of("model.layers.0.self_attn.q_proj.bias"), "Qwen 2");
  assert.ok(of("model.layers.0.self_attn.q_norm.weight"), "Qwen 3");
  assert.ok(of("model.layers.0.pre_feedforward_layernorm.weight"), "Gemma 2");
  assert.ok(!Object.keys(SHAPES).some(of));
});

Deno.test("hfLlama reads SLAB's epsilon where its configuration has it, and what that leaves to assume", () => {
  const [shapes, config] = [shapesOf("slab_llama"), configOf("slab_llama")];
  const epsilon = (values: Record<string, unknown>) =>
    read(shapes, values).settled.find(({ name }) => name === "epsilon");
  assert.deepEqual(epsilon(config), {
    name: "epsilon",
    value: "0.0001",
    basis: "said",
    why: "config.json says rms_norm_eps",
  });
  const { rms_norm_eps: _, ...rest } = config;
  assert.equal(epsilon(rest)?.basis, "assumed");
  assert.equal(epsilon(rest)?.value, "0.000001");
});

Deno.test("hfLlama refuses a file without its configuration, and without a head that is its own", () => {
  refuses(() => read(SHAPES, null), "config.json");
  const { "lm_head.weight": _head, ...rest } = SHAPES;
  refuses(() => read(rest, CONFIG), "no lm_head.weight", "tie_word_embeddings", "part of a checkpoint");
  assert.ok(read(rest, { ...CONFIG, tie_word_embeddings: true }).model);
});

Deno.test("hfLlama refuses rotations and sizes it does not have, by name", () => {
  const cases: [change: Record<string, unknown>, ...fragments: string[]][] = [
    [{ rope_parameters: { rope_type: "yarn", rope_theta: 10000 } }, '"yarn"', "llama3"],
    [
      { rope_parameters: undefined, rope_theta: 10000, rope_scaling: { type: "linear", factor: 2 } },
      '"linear"',
    ],
    [
      { rope_parameters: { rope_type: "llama3", rope_theta: 5e5, factor: 8 } },
      "a number for low_freq_factor",
    ],
    [
      { num_attention_heads: 5 },
      "32 channels do not divide among 5 heads (config.json says num_attention_heads)",
    ],
    [{ num_attention_heads: 1 }, "1 heads of 32 channels do not fit the 16 rows", "k_proj"],
    [{ attention_bias: true }, "attention_bias true"],
    [{ hidden_act: "gelu" }, 'hidden_act "gelu"'],
    [{ model_type: "mistral" }, 'model_type "mistral"'],
  ];
  for (const [change, ...fragments] of cases) {
    refuses(() => read(SHAPES, { ...CONFIG, ...change }), ...fragments);
  }
});
