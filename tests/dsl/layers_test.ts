import assert from "node:assert/strict";
import {
  attention,
  block,
  embedding,
  layerScale,
  linear,
  mlp,
  norm,
  patchEmbedding,
  prependToken,
  type Scope,
} from "../../src/dsl/mod.ts";
import { randomWeights, type WeightSource } from "../../src/weights/mod.ts";
import { nodesOf, refuses } from "../support.ts";
import { graphOf, input, scope } from "./support.ts";

/** A scope, and the shapes of what is asked of it. */
function recorded(): { p: Scope; taken: Record<string, string> } {
  const taken: Record<string, string> = {};
  const random = randomWeights({ seed: 1 });
  const weights: WeightSource = {
    ...random,
    origin: "recorded",
    take: (name, shape, hint) => {
      taken[name] = shape.join("x");
      return random.take(name, shape, hint);
    },
    unused: () => [],
  };
  return { p: scope(weights), taken };
}

const x = input("x", ["B", 5, 8]);

Deno.test("linear() reads PyTorch's weight and bias", () => {
  const { p, taken } = recorded();
  assert.deepEqual(linear(x, p.at("fc"), { outputs: 3 }).shape, ["B", 5, 3]);
  linear(x, p.at("bare"), { outputs: 3, bias: false });
  assert.deepEqual(taken, { "fc.weight": "3x8", "fc.bias": "3", "bare.weight": "3x8" });
  refuses(
    () => linear(input("y", [2, "C"]), p.at("fc"), { outputs: 3 }),
    "fc: the channel axis must have a fixed size",
  );
});

Deno.test("linear() and norm() refuse heads that do not make up their rows, and a tied weight of others", () => {
  const { p } = recorded();
  for (const sizes of [[2, 2], [3, 5]]) {
    const regroup = { heads: 2, sizes };
    const said = `2 heads of ${sizes[0]! + sizes[1]!} rows are not its 12`;
    refuses(() => linear(x, p.at("qkv"), { outputs: 12, regroup }), "qkv", said);
    refuses(() => norm(input("z", [2, 12]), p.at("bn"), { regroup }), said);
  }
  const tied = p.param("table", [7, 8], { init: "embedding" });
  refuses(
    () => linear(x, p.at("head"), { outputs: 9, tied }),
    "the tied weight has 7 rows, and outputs are 9",
  );
});

Deno.test("block() has timm's names", () => {
  const { p, taken } = recorded();
  assert.deepEqual(block(x, p.at("blocks", 0), { heads: 2, mlp: { hidden: 16 } }).shape, ["B", 5, 8]);
  const names = Object.keys(taken).map((name) => name.replace("blocks.0.", ""));
  assert.deepEqual(names, [
    "norm1.weight",
    "norm1.bias",
    "norm1.running_var",
    "attn.qkv.weight",
    "attn.qkv.bias",
    "attn.proj.weight",
    "attn.proj.bias",
    "norm2.weight",
    "norm2.bias",
    "norm2.running_var",
    "mlp.fc1.weight",
    "mlp.fc1.bias",
    "mlp.fc2.weight",
    "mlp.fc2.bias",
  ]);
  assert.equal(taken["blocks.0.attn.qkv.weight"], "24x8");
});

Deno.test("attention() takes other names, and biases away", () => {
  const { p, taken } = recorded();
  attention(x, p.at("a"), { heads: 4, qkv: ["wq", "wk", "wv"], out: "wo", qkvBias: false, outBias: false });
  assert.deepEqual(taken, {
    "a.wq.weight": "8x8",
    "a.wk.weight": "8x8",
    "a.wv.weight": "8x8",
    "a.wo.weight": "8x8",
  });
});

Deno.test("attention() refuses heads that do not divide the channels, and other ranks", () => {
  const { p } = recorded();
  for (const heads of [3, 16]) {
    refuses(
      () => attention(x, p.at("attn"), { heads }),
      "attn: 8 channels do not divide among",
      `${heads} heads`,
    );
  }
  for (const heads of [0, -2, 1.5]) {
    refuses(() => attention(x, p.at("attn"), { heads }), "attn: attention: heads must be", `not ${heads}`);
  }
  refuses(() => attention(input("z", [2, 8]), p.at("attn"), { heads: 2 }), "attn: attention needs [B, T, C]");
});

Deno.test("layerScale() refuses an axis that is not there by its own name", () => {
  const { p } = recorded();
  refuses(() => layerScale(x, p.at("ls"), { axis: 3 }), "ls: layerScale: axis 3 does not exist in rank 3");
});

Deno.test("attention() to a memory reads keys and values from the memory", () => {
  const { p } = recorded();
  const memory = input("memory", ["B", "S", 8]);
  const y = attention(x, p.at("cross"), { heads: 2, memory, qkv: ["q", "k", "v"] });
  assert.deepEqual(y.shape, ["B", 5, 8]);
  const sources = nodesOf(graphOf(y), "linear").map(({ name, inputs }) => [name, inputs[0]!.name]);
  assert.deepEqual(sources.slice(0, 3).sort(), [["cross.k", "memory"], ["cross.q", "x"], [
    "cross.v",
    "memory",
  ]]);
});

Deno.test("mlp() takes an activation and names", () => {
  const { p, taken } = recorded();
  const y = mlp(x, p.at("ffn"), {
    hidden: 16,
    activation: (z) => z.relu(),
    names: ["up", "down"],
    bias: false,
  });
  assert.equal(nodesOf(graphOf(y), "relu").length, 1);
  assert.deepEqual(taken, { "ffn.up.weight": "16x8", "ffn.down.weight": "8x16" });
});

Deno.test("patchEmbedding() makes tokens of patches, row by row", () => {
  const { p, taken } = recorded();
  const tokens = patchEmbedding(input("image", ["B", 3, 8, 12]), p.at("embed"), { patch: 4, channels: 8 });
  assert.deepEqual(tokens.shape, ["B", 6, 8]);
  assert.deepEqual(taken, { "embed.weight": "8x3x4x4", "embed.bias": "8" });
  refuses(
    () => patchEmbedding(input("image", ["B", "C", 8, 8]), p.at("embed"), { patch: 4, channels: 8 }),
    "embed: the image's channel axis must have a fixed size",
  );
  refuses(
    () => patchEmbedding(input("image", ["B", 3, 2, 2]), p.at("large"), { patch: 4, channels: 8 }),
    "conv: the kernel is larger than the image",
  );
});

Deno.test("prependToken() makes sequences one longer", () => {
  const { p } = recorded();
  const open = input("tokens", ["B", "T", 8]);
  assert.deepEqual(prependToken(open, p.param("cls", [1, 1, 8])).shape, ["B", "T+1", 8]);
});

Deno.test("embedding() looks rows up", () => {
  const { p, taken } = recorded();
  const tokens = embedding(input("ids", ["B", "T"], "int64"), p.at("embed"), { entries: 50, channels: 8 });
  assert.deepEqual([tokens.shape, taken], [["B", "T", 8], { "embed.weight": "50x8" }]);
});
