/** What a whole module says of its network; that such files are read is in `tests/weights/trainers_test.ts`. */
import assert from "node:assert/strict";
import { moduleStatements } from "../../src/checkpoints/modules.ts";

const block = (path: string, heads: number, act: Record<string, unknown>) => ({
  [`${path}.attn`]: { class: "timm.layers.Attention", num_heads: heads },
  [`${path}.mlp.act`]: act,
  [`${path}.norm1`]: { class: "torch.nn.modules.normalization.LayerNorm", eps: 1e-3 },
});
const GELU = { class: "torch.nn.modules.activation.GELU", approximate: "none" };
const ROOT = { class: "timm.models.VisionTransformer", global_pool: "avg", pool_include_prefix: false };

Deno.test("moduleStatements() takes what all blocks agree on, and what the whole says", () => {
  const [said, ...more] = moduleStatements({
    "": ROOT,
    patch_embed: { class: "timm.layers.PatchEmbed", img_size: [32, 64] },
    // T2T's first modules have heads of their own.
    "tokens_to_token.attention1": { num_heads: 1 },
    ...block("blocks.0", 4, GELU),
    ...block("blocks.1", 4, GELU),
  });
  assert.deepEqual(more, []);
  assert.equal(said!.kind, "unfold");
  assert.deepEqual(said!.values, {
    heads: 4,
    epsilon: 1e-3,
    activation: GELU.class,
    pool: "avg",
    "pool-prefix": false,
    "image-size": [32, 64],
  });
});

Deno.test("moduleStatements() leaves out what differs, and tells GELU's approximation", () => {
  const tanh = { ...GELU, approximate: "tanh" };
  const parts = { ...block("layers.0.blocks.0", 2, tanh), ...block("layers.1.blocks.0", 4, tanh) };
  const [said] = moduleStatements(parts);
  assert.equal(said!.values.heads, undefined);
  assert.equal(said!.values.activation, "gelu_tanh");
});

Deno.test("moduleStatements() takes the configuration of transformers' modules alone", () => {
  const config = { num_attention_heads: 4, hidden_act: "gelu" };
  const act = { class: "transformers.activations.GELUActivation" };
  assert.deepEqual(moduleStatements({ module: { config }, ...block("module.layers.0", 4, act) }), [
    { origin: "the module's configuration", kind: "configuration", values: config },
  ]);
  assert.deepEqual(moduleStatements(undefined), []);
});
