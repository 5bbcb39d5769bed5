/**
 * Parts of a network in another type: which operators a name takes along, where casts stand, and that the
 * meaning is the same.
 */
import assert from "node:assert/strict";
import type { Keep } from "../../src/dsl/model.ts";
import { float, linear, type Model, model } from "../../src/dsl/mod.ts";
import { op, type Tensor } from "../../src/dsl/tensor.ts";
import { type Graph, topological } from "../../src/ir/graph.ts";
import { MODELS } from "../../src/models/table.ts";
import { layerNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { isOp } from "../../src/ops/table.ts";
import { TENSORRT_WRITTEN_OUT } from "../../src/rewrite/backends/tensorrt.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { GROUPS } from "../../src/rewrite/precision/groups.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { gelu } from "../nodes.ts";
import { meaningDifference } from "../support.ts";
import { encoder } from "./networks.ts";

function kept(
  network: Model,
  keep: Keep,
  { norm = unifiedNorm(), precision = "fp16" }: { norm?: Norm; precision?: "fp16" | "fp32" } = {},
) {
  const traced = network.trace({ weights: randomWeights({ seed: 1 }), norm, precision, dims: { B: 2 } });
  return optimize(traced, { keep });
}

/** Computed operators of a type by name, moves left out. */
const inFp32 = (graph: Graph) =>
  topological(graph).filter(({ op, type }) =>
    type.dtype === "fp32" && !["constant", "cast", "reshape", "transpose", "slice", "concat"].includes(op)
  ).map(({ name }) => name);
const casts = (graph: Graph) =>
  topological(graph).filter((node) => isOp(node, "cast")).map(({ name }) => name);

/** Three products in a row. */
const row = model({
  name: "row",
  inputs: { x: float(["B", 4]) },
  norm: unifiedNorm(),
  forward: ({ x }, p) =>
    linear(
      gelu(linear(gelu(linear(x, p.at("a"), { outputs: 4 })), p.at("b"), { outputs: 4 })),
      p.at("c"),
      { outputs: 4 },
    ),
});

Deno.test("a product that is kept has its operand cast, its weights rounded to its type, and its result cast", () => {
  const { graph } = kept(row, [["fp32", "b"]]);
  assert.deepEqual(inFp32(graph), ["b"]);
  assert.deepEqual(casts(graph), ["a/gelu/fp32", "b/fp16"]);
  const product = topological(graph).find(({ name, op }) => name === "b" && op === "linear")!;
  assert.deepEqual(product.inputs.slice(1).map(({ op, type }) => [op, type.dtype]), [
    ["constant", "fp32"],
    ["constant", "fp32"],
  ]);
});

Deno.test("neighbours that are kept have no cast between them, and an output has the type it is kept in", () => {
  const { graph } = kept(row, [["fp32", "b*"], ["fp32", "c"]]);
  assert.deepEqual(inFp32(graph), ["b", "b/gelu", "c"]);
  assert.deepEqual(casts(graph), ["a/gelu/fp32"]);
  assert.equal(graph.outputs[0]!.node.type.dtype, "fp32");
});

Deno.test("of several that name an operator the last counts", () => {
  const { graph, kept: told } = kept(row, [["fp32", "*"], ["fp16", "c"], ["bf16", "a"]]);
  assert.deepEqual(inFp32(graph), ["a/gelu", "b", "b/gelu"]);
  assert.deepEqual(told.map(({ nodes }) => nodes), [["a/gelu", "b", "b/gelu"], ["c"], ["a"]]);
});

Deno.test("a scope takes along all that is in it, one of merged products what it was merged to", () => {
  const names = (scopes: string) =>
    kept(encoder({ packed: false, depth: 1 }), [["fp32", scopes]]).kept[0]!.nodes;
  const [fc1, fc2] = ["blocks.0.mlp.fc1", "blocks.0.mlp.fc2"];
  assert.deepEqual(names("blocks.0.mlp"), [fc1, `${fc1}/gelu`, fc2, `${fc2}/add`]);
  assert.deepEqual(names("blocks.0.mlp.fc1"), ["blocks.0.mlp.fc1"]);
  assert.deepEqual(names("*.k_proj"), ["blocks.0.attn.k_proj+v_proj"]);
  assert.equal(names("blocks").length, 9);
});

Deno.test("what is kept changes no meaning, in the graph and in TensorRT's form of it", () => {
  for (const norm of [unifiedNorm(), layerNorm()]) {
    const plain = kept(encoder(), [], { norm }).graph;
    for (const scopes of ["stream", "softmax", "statistics", "blocks.*.mlp", "blocks.1.attn", "*"]) {
      const { graph } = kept(encoder(), [["fp32", scopes]], { norm });
      assert.equal(meaningDifference(graph, plain, 3), 0, scopes);
      const lowered = runPipeline(graph, TENSORRT_WRITTEN_OUT).graph;
      assert.ok(meaningDifference(lowered, plain, 3) < 1e-12, scopes);
    }
  }
});

Deno.test("what is compared meets in one type, in the wider one where the sides are kept in two", () => {
  const compared = model({
    name: "compared",
    inputs: { x: float(["B", 4]) },
    norm: unifiedNorm(),
    forward: ({ x }, p) => {
      const [a, b] = ["a", "b"].map((name) => linear(x, p.at(name), { outputs: 4 })) as [Tensor, Tensor];
      return op("where", [op("less", [a, b], { attrs: {} }), a, b], { attrs: {}, name: "chosen" });
    },
  });
  const { graph, kept: told } = kept(compared, [["fp32", "b"]]);
  assert.deepEqual(inFp32(graph), ["b"]);
  assert.deepEqual(told[0]!.nodes, ["b"]);
  const less = topological(graph).find((node) => isOp(node, "less"))!;
  assert.deepEqual([less.type.dtype, ...less.inputs.map(({ type }) => type.dtype)], ["bool", "fp32", "fp32"]);
  const traced = compared.trace({ weights: randomWeights({ seed: 1 }), precision: "fp16", dims: { B: 2 } });
  assert.equal(meaningDifference(graph, traced, 5), 0);
});

Deno.test("a network of fp32 stays as it is, and a model says itself what is kept", () => {
  const { graph } = kept(row, [["fp16", "b"]], { precision: "fp32" });
  assert.deepEqual(casts(graph), []);
  assert.throws(
    () =>
      model({
        name: "row",
        inputs: row.inputs,
        norm: unifiedNorm(),
        forward: row.forward,
        keep: [["fp8", "b"]] as never,
      }),
    /keep must be pairs of a type \(fp32, fp16, bf16\) and scopes/,
  );
});

Deno.test("stream has the sums, what begins them and what normalizes them; moves between them are in fp32", () => {
  const { graph } = kept(encoder({ depth: 1 }), [["fp32", "stream"]]);
  assert.deepEqual(inFp32(graph), [
    "patch_embed.proj/add",
    "blocks.0.attn.proj/add",
    "blocks.0.mlp.fc2/add",
  ]);
  const withLayerNorm = kept(encoder({ depth: 1 }), [["fp32", "stream"]], { norm: layerNorm() });
  assert.equal(inFp32(withLayerNorm.graph).filter((name) => /norm/.test(name)).length, 3);
  // Each branch is cast once, and the stream once for each product that reads it.
  assert.equal(casts(graph).filter((name) => /fp32$/.test(name)).length, 3);
});

Deno.test("stream is found in post-norm networks, in windows, and no rotation of queries is taken for it", () => {
  const sums = (name: string, norm: Norm = layerNorm()) => {
    const graph = kept(MODELS[name]!.build(), [], { norm }).graph;
    return [...GROUPS.stream(graph)].filter((node) => isOp(node, "add")).length;
  };
  // Two sums a block; the sums of BERT's and GPT-2's embeddings, of ViT's positions, none of Swin and Llama.
  assert.equal(sums("bert-base"), 2 * 12 + 2);
  assert.equal(sums("gpt2"), 2 * 12 + 1);
  assert.equal(sums("vit-b16"), 2 * 12 + 1);
  assert.equal(sums("swin-t", unifiedNorm()), 2 * 12);
  const graph = kept(MODELS["bert-base"]!.build(), [], { norm: layerNorm() }).graph;
  assert.equal([...GROUPS.stream(graph)].filter((node) => isOp(node, "layer_norm")).length, 25);
});

Deno.test("softmax alone is in fp32 where the products of its attention are not", () => {
  const { graph } = kept(encoder({ depth: 1 }), [["fp32", "softmax"]]);
  assert.deepEqual(inFp32(graph), []);
  const lowered = runPipeline(graph, TENSORRT_WRITTEN_OUT).graph;
  const [softmax] = topological(lowered).filter((node) => isOp(node, "softmax"));
  assert.equal(softmax!.type.dtype, "fp32");
  assert.ok(
    topological(lowered).filter((node) => isOp(node, "matmul")).every(({ type }) => type.dtype === "fp16"),
  );
});

Deno.test("a normalization that is folded is told, with what took it in; a name that nothing has is refused", () => {
  const network = encoder({ depth: 1 });
  const [told] = kept(network, [["fp32", "blocks.*.norm*"]]).kept;
  assert.deepEqual(told!.nodes, []);
  assert.deepEqual(told!.folded.map(({ norm, into }) => [norm, ...into]), [
    ["blocks.0.norm1", "blocks.0.attn.qkv"],
    ["blocks.0.norm2", "blocks.0.mlp.fc1"],
  ]);
  assert.equal(kept(network, [["fp32", "statistics"]]).kept[0]!.folded.length, 3);
  assert.throws(
    () => kept(network, [["fp32", "blocks.*.nrm1"]]),
    /^UnfoldError: encoder has no scope "blocks\.\*\.nrm1" that could be kept; near it are "blocks\.\*\.norm1"/,
  );
  assert.throws(
    () => kept(network, [["fp32", "zzzzzz"]]),
    /it has .*"blocks".* and the groups stream, softmax/,
  );
  assert.throws(() => kept(row, [["fp32", "softmax"]]), /there is no softmax in row that could be kept/);
});
