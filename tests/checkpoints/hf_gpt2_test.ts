/** Tests of recognising Hugging Face's GPT-2; that it computes the same is in `tests/networks`. */
import { readAs } from "../../src/checkpoints/define.ts";
import assert from "node:assert/strict";
import { hfGpt2 } from "../../src/checkpoints/layouts/hf_gpt2.ts";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { refuses } from "../support.ts";
import { configOf, fixtureFile, shapesOf, viewOf } from "./view.ts";

const SHAPES = shapesOf("gpt2");
const CONFIG = configOf("gpt2");

Deno.test("hfGpt2 reads OpenAI's names and those with a prefix; products are stored [in, out]", () => {
  for (const [name, prefix] of [["gpt2", ""], ["gpt2_un", "transformer."]] as const) {
    const { locate } = readAs(hfGpt2, viewOf(shapesOf(name), CONFIG), {});
    assert.equal(locate!("h.0.ln_1.weight"), `${prefix}h.0.ln_1.weight`);
    const source = locate!("h.0.attn.c_attn.weight");
    assert.ok(typeof source !== "string");
    assert.deepEqual(source.from, [`${prefix}h.0.attn.c_attn.weight`]);
  }
  const { ignored } = recogniseCheckpoint(fixtureFile("gpt2", "model.safetensors"));
  assert.deepEqual(ignored.map(({ name, why }) => [name, why]), [
    ["h.0.attn.bias", "the causal mask"],
    ["h.1.attn.bias", "the causal mask"],
  ]);
});

Deno.test("hfGpt2 tells the constant deviation of LN-free networks by their epsilon", () => {
  const familyOf = (epsilon: number) =>
    readAs(hfGpt2, viewOf(SHAPES, { ...CONFIG, layer_norm_epsilon: epsilon }), {}).model.norm.family;
  assert.equal(familyOf(1e-5), "ln");
  assert.equal(familyOf(1e12), "lnfree");
});

Deno.test("hfGpt2 knows the heads of OpenAI's own files alone", () => {
  const wide = (prefix: string) =>
    viewOf({
      [`${prefix}wte.weight`]: [50257, 768],
      [`${prefix}wpe.weight`]: [1024, 768],
      [`${prefix}h.0.attn.c_attn.weight`]: [768, 2304],
      [`${prefix}h.0.mlp.c_fc.weight`]: [768, 3072],
    }, null);
  assert.equal(readAs(hfGpt2, wide(""), {}).model.name, "gpt2");
  refuses(() => readAs(hfGpt2, wide("transformer."), {}), "nothing tells the attention heads");
});

Deno.test("hfGpt2 gives the networks of generation by mode", () => {
  const { model } = readAs(hfGpt2, viewOf(SHAPES, CONFIG), { mode: "step" });
  assert.equal(model.name, "gpt2-step");
  assert.deepEqual(model.inputs["past.1.value"], { dtype: "float", shape: ["B", 2, "P", 8] });
  refuses(
    () => readAs(hfGpt2, viewOf(SHAPES, CONFIG), { mode: "decode" }),
    "give one of plain, prefill, step",
    "plain, prefill, step",
  );
});

Deno.test("hfGpt2 takes products stored [out, in], as nanoGPT has them, with nanoGPT's GELU unless said", () => {
  const turned = Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]) => [
      name,
      /\.c_\w+\.weight$/.test(name) ? shape.toReversed() : shape,
    ]),
  );
  const read = (shapes: typeof turned, config: Record<string, unknown>) =>
    readAs(hfGpt2, viewOf(shapes, config), {});
  const activationOf = ({ settled }: ReturnType<typeof read>) =>
    settled.find(({ name }) => name === "activation")!.value;
  assert.equal(read(turned, CONFIG).locate!("h.0.attn.c_attn.weight"), "h.0.attn.c_attn.weight");
  assert.equal(activationOf(read(turned, CONFIG)), "gelu_tanh");
  assert.equal(activationOf(read(turned, { n_head: 2 })), "gelu");
  assert.equal(activationOf(read(SHAPES, { n_head: 2 })), "gelu_tanh");
  // Turned by hand, with nanoGPT's arguments beside.
  assert.equal(activationOf(read(SHAPES, { n_head: 2, block_size: 24 })), "gelu");
});

Deno.test("hfGpt2 gives what GPT2Model does where the configuration is of that, and a head that is no embedding", () => {
  const outputs = (architecture: string, shapes = SHAPES) =>
    readAs(hfGpt2, viewOf(shapes, { ...CONFIG, architectures: [architecture] }), {}).settled
      .filter(({ name }) => name === "head" || name === "tied-head").map(({ value }) => value);
  assert.deepEqual(outputs("GPT2Model"), ["none"]);
  const own = { ...SHAPES, "lm_head.weight": SHAPES["wte.weight"]! };
  const { tie_word_embeddings: _, ...silent } = CONFIG;
  const { settled, ignored } = readAs(hfGpt2, viewOf(own, silent), {});
  assert.equal(settled.find(({ name }) => name === "tied-head")!.value, "false");
  assert.ok(!ignored.some(({ pattern }) => pattern.test("lm_head.weight")));
  refuses(
    () => readAs(hfGpt2, viewOf(own, { ...CONFIG, tie_word_embeddings: true }), {}),
    "the tensors say false (lm_head.weight is not the embedding)",
    "tie_word_embeddings true",
  );
});

Deno.test("hfGpt2 refuses products of neither form, heads that do not divide, and other networks of these names", () => {
  const turned = { ...SHAPES, "h.0.attn.c_attn.weight": [48, 48] };
  refuses(
    () => readAs(hfGpt2, viewOf(turned, CONFIG), {}),
    "h.0.attn.c_attn.weight is [48, 48]",
    "[16, 48]",
    "[48, 16] in nanoGPT's",
  );
  refuses(
    () => readAs(hfGpt2, viewOf(SHAPES, { ...CONFIG, n_head: 3 }), {}),
    "16 channels do not divide among 3 heads (config.json says n_head)",
  );
  refuses(
    () => readAs(hfGpt2, viewOf(SHAPES, CONFIG), { heads: 4 }),
    "config.json says n_head 2",
    "--heads says 4",
  );
  for (
    const other of [{ activation_function: "mish" }, { tie_word_embeddings: false }, {
      add_cross_attention: true,
    }]
  ) {
    refuses(() => readAs(hfGpt2, viewOf(SHAPES, { ...CONFIG, ...other }), {}), Object.keys(other)[0]!);
  }
});
