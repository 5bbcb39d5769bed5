import assert from "node:assert/strict";
import { join } from "node:path";
import { onnxBytes, writeOnnx } from "../../src/emit/onnx.ts";
import { parseOpset } from "../../src/emit/opset.ts";
import type { Graph } from "../../src/ir/graph.ts";
import { fixedShape } from "../../src/ir/shape.ts";
import { layerNorm } from "../../src/norms/families.ts";
import { apply } from "../../src/ops/table.ts";
import { ONNX_RUNTIME } from "../../src/rewrite/backends/onnxruntime.ts";
import { runPipeline } from "../../src/rewrite/pass.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { sessionFromOnnx } from "../../src/run/onnxruntime.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { tensorValue } from "../../src/run/session.ts";
import { decoder, encoder, traced } from "../rewrite/networks.ts";
import { bindDims, graphOf, input, linear, param, Random, refuses, rejects, withFolder } from "../support.ts";
import { add, expand, gelu, relu } from "../nodes.ts";

async function filesIn(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
}

/** Runs a model on random images; the outputs as plain numbers. */
async function logitsOf(model: Uint8Array | string, batch = 3): Promise<number[]> {
  await using session = await sessionFromOnnx(model, { threads: 1 });
  const images = tensorValue("fp32", [batch, 1, 4, 4], new Random(1).normals([batch, 1, 4, 4]));
  const { logits } = await session.run({ images });
  return [...new Float32Array(logits!.bytes.slice().buffer)];
}

// Two blocks in float32, forty roundings deep: 2e-6 of the largest output, twice what is measured.
Deno.test("onnxBytes() of whole networks means what the reference says, before and after optimize()", async () => {
  const cases = [
    ...[encoder(), encoder({ packed: false, qkvBias: false }), decoder()].map((model) => ({
      model,
      norm: model.norm,
    })),
    { model: encoder(), norm: layerNorm() },
  ];
  for (const { model, norm } of cases) {
    const open = traced(model, { dims: {}, norm });
    for (const graph of [open, optimize(open).graph]) {
      const bound = bindDims(graph, { B: 2, S: 4 });
      const random = new Random(1);
      const feeds = bound.inputs.map(({ name, type }) =>
        [name, random.normals(fixedShape(type.shape))] as const
      );
      const shapes = Object.fromEntries(bound.inputs.map(({ name, type }) => [name, fixedShape(type.shape)]));
      const numbers = Object.fromEntries(
        feeds.map(([name, data]) => [name, { shape: shapes[name]!, data: Float64Array.from(data) }]),
      );
      const expected = evaluateGraph(bound, numbers);
      await using session = await sessionFromOnnx(onnxBytes(graph), { threads: 1 });
      const actual = await session.run(
        Object.fromEntries(feeds.map(([name, data]) => [name, tensorValue("fp32", shapes[name]!, data)])),
      );
      for (const [name, value] of Object.entries(expected)) {
        const { failure, maxRelError } = compareTensors(actual[name]!, value);
        assert.equal(failure, null);
        assert.ok(maxRelError <= 2e-6, `${graph.name}, ${norm.family}: ${maxRelError}`);
      }
    }
  }
});

Deno.test("onnxBytes() names inputs, outputs and open sizes as the model does", async () => {
  await using session = await sessionFromOnnx(onnxBytes(traced(encoder(), { dims: {} })), { threads: 1 });
  assert.deepEqual(session.inputs, [{ name: "images", dtype: "fp32", shape: ["B", 1, 4, 4] }]);
  assert.deepEqual(session.outputs, [{ name: "logits", dtype: "fp32", shape: ["B", 3] }]);
});

Deno.test("onnxBytes() names weights by their parameters and nodes by their scopes", () => {
  const text = new TextDecoder("latin1").decode(onnxBytes(traced(encoder())));
  for (const name of ["blocks.0.attn.qkv.weight", "blocks.1.mlp.fc2.bias", "head.weight", "cls_token"]) {
    assert.ok(text.includes(name), name);
  }
  for (const name of ["blocks.0.attn.qkv/MatMul", "head/Gemm"]) assert.ok(text.includes(name), name);
});

Deno.test("onnxBytes() gives one value two output names, and an input or weight one", async () => {
  const random = new Random(1);
  const x = input("x", [2]);
  const y = relu(x);
  const graph = graphOf({ first: y, second: y, again: relu(y), fed: x, weight: param("w", [2], { random }) });
  await using session = await sessionFromOnnx(onnxBytes(graph), { threads: 1 });
  const outputs = await session.run({ x: tensorValue("fp32", [2], [-1, 2]) });
  assert.deepEqual(Object.keys(outputs), ["first", "second", "again", "fed", "weight"]);
  assert.deepEqual(outputs.first!.bytes, outputs.second!.bytes);
  assert.deepEqual([...new Float32Array(outputs.fed!.bytes.slice().buffer)], [-1, 2]);
});

Deno.test("onnxBytes() keeps names apart where a parameter is called like an output", async () => {
  const random = new Random(1);
  const product = linear(input("x", [2, 4]), 3, { random, name: "y" });
  const graph = graphOf({ "y": relu(product), "y.weight": add(product, product), "y/Gemm": product });
  await using session = await sessionFromOnnx(onnxBytes(graph), { threads: 1 });
  const outputs = await session.run({ x: tensorValue("fp32", [2, 4], new Random(2).normals([2, 4])) });
  const numbers = (name: string) => [...new Float32Array(outputs[name]!.bytes.slice().buffer)];
  assert.deepEqual(numbers("y"), numbers("y/Gemm").map((value) => Math.max(value, 0)));
  assert.deepEqual(numbers("y.weight"), numbers("y/Gemm").map((value) => 2 * value));
});

Deno.test("onnxBytes() computes an open size once for all who need it", () => {
  const text = new TextDecoder("latin1").decode(onnxBytes(traced(encoder({ depth: 3 }), { dims: {} })));
  assert.equal(new Set(text.match(/[\w.]+\/Shape(#\d+)?/g)).size, 1);
});

Deno.test("onnxBytes() names another domain than the standard's only where a node is of it", () => {
  const { graph } = optimize(traced(encoder()));
  const text = (graph: Graph) => new TextDecoder("latin1").decode(onnxBytes(graph));
  assert.ok(!text(graph).includes("com.microsoft"));
  assert.ok(text(runPipeline(graph, ONNX_RUNTIME).graph).includes("com.microsoft"));
});

Deno.test("onnxBytes() refuses a size that no input has as an axis of its own", () => {
  const graph = graphOf(expand(param("token", [1, 4], { random: new Random(1) }), ["B", 4]));
  refuses(() => onnxBytes(graph), "sample: no input has the size B as an axis of its own");
});

Deno.test("onnxBytes() convolves bfloat16 as float32 before opset 22, which takes it", () => {
  const text = (precision: "fp32" | "bf16", opset?: number) =>
    new TextDecoder("latin1").decode(onnxBytes(traced(encoder({ depth: 0 }), { precision }), { opset }));
  assert.ok(text("bf16").includes("patch_embed.proj/Cast"));
  assert.ok(!text("bf16", 22).includes("Cast"));
  assert.ok(!text("fp32").includes("Cast"));
});

Deno.test("onnxBytes() writes the lowest opset unless told otherwise, and what came later in its operators", () => {
  const graph = graphOf(gelu(input("x", ["B", 4])));
  const text = (opset?: number) => new TextDecoder("latin1").decode(onnxBytes(graph, { opset }));
  // OperatorSetIdProto with the version alone: the standard has no domain.
  const imports = (version: number) => `B\x02\x10${String.fromCharCode(version)}`;
  assert.ok(text().includes(imports(17)) && text().includes("/Erf") && !text().includes("/Gelu"));
  assert.ok(text(20).includes(imports(20)) && text(20).includes("/Gelu") && !text(20).includes("/Erf"));
});

Deno.test("onnxBytes() keeps a mask of one for all from ONNX Runtimes that read on behind it", () => {
  const imports = (version: number) => `B\x02\x10${String.fromCharCode(version)}`;
  const attention = (masks: number, opset?: number) => {
    const mask = input("mask", [masks, 2, 3, 3]);
    const attrs = { heads: 2, scale: 1, causal: false };
    const batch = masks === 1 ? "B" : masks;
    const graph = graphOf(
      apply("token_attention", [...["q", "k", "v"].map((name) => input(name, [batch, 3, 4])), mask], {
        attrs,
      }),
    );
    return new TextDecoder("latin1").decode(onnxBytes(graph, { opset }));
  };
  assert.ok(attention(2).includes(imports(17)));
  for (const opset of [undefined, 17]) assert.ok(attention(1, opset).includes(imports(22)));
  assert.ok(attention(1, 23).includes(imports(23)));
});

Deno.test("onnxBytes() gives LayerNormalization a bias, without which ONNX Runtime 1.16 to 1.18 aborts", () => {
  const bare = apply("layer_norm", [input("x", [2, 4])], { attrs: { epsilon: 1e-5 }, name: "norm" });
  const text = new TextDecoder("latin1").decode(onnxBytes(graphOf(bare)));
  // The gain of ones is "norm", the bias of zeros "norm#2": as a weight, and as an input of the node.
  assert.equal(text.match(/norm#2/g)?.length, 2);
});

Deno.test("parseOpset() takes the versions whose operators are known", () => {
  assert.deepEqual(["17", "23"].map(parseOpset), [17, 23]);
  for (const text of ["16", "24", "17.5", "", "latest"]) {
    refuses(() => parseOpset(text), `--opset ${text}: give a whole number from 17 to 23`);
  }
});

Deno.test("onnxBytes() is the same every time", () => {
  const bytes = () => onnxBytes(optimize(traced(encoder({ packed: false }))).graph);
  assert.deepEqual(bytes(), bytes());
});

Deno.test("writeOnnx() writes one file where the weights fit", () =>
  withFolder(async (folder) => {
    const graph = optimize(traced(encoder(), { dims: {} })).graph;
    const path = join(folder, "un.onnx");
    const { paths, byteLength, nodes } = await writeOnnx(graph, path);
    assert.deepEqual(paths, [path]);
    assert.deepEqual(await filesIn(folder), ["un.onnx"]);
    assert.equal((await Deno.stat(path)).size, byteLength);
    assert.ok(nodes > 10);
    assert.deepEqual(await Deno.readFile(path), onnxBytes(graph));
  }));

Deno.test("writeOnnx() puts weights beside the file where they do not fit, with the same result", () =>
  withFolder(async (folder) => {
    const graph = optimize(traced(encoder(), { dims: {} })).graph;
    const path = join(folder, "un.onnx");
    const { paths, byteLength } = await writeOnnx(graph, path, { embeddedLimitBytes: 100 });
    assert.deepEqual(paths, [path, `${path}.data`]);
    assert.deepEqual(await filesIn(folder), ["un.onnx", "un.onnx.data"]);
    const sizes = await Promise.all(paths.map(async (file) => (await Deno.stat(file)).size));
    assert.equal(sizes[0]! + sizes[1]!, byteLength);
    assert.deepEqual(await logitsOf(path), await logitsOf(onnxBytes(graph)));
    // Moved as a pair, they still belong together.
    const moved = join(folder, "moved");
    await Deno.mkdir(moved);
    for (const file of ["un.onnx", "un.onnx.data"]) await Deno.rename(join(folder, file), join(moved, file));
    assert.deepEqual(await logitsOf(join(moved, "un.onnx")), await logitsOf(onnxBytes(graph)));
  }));

Deno.test("writeOnnx() replaces what was there", () =>
  withFolder(async (folder) => {
    const path = join(folder, "un.onnx");
    await Deno.writeTextFile(path, "old");
    await writeOnnx(traced(encoder()), path, { embeddedLimitBytes: 0 });
    await writeOnnx(traced(encoder({ depth: 1 })), path);
    assert.deepEqual(await logitsOf(path, 2), await logitsOf(onnxBytes(traced(encoder({ depth: 1 }))), 2));
  }));

for (const embeddedLimitBytes of [0, Infinity]) {
  const how = embeddedLimitBytes === 0 ? "with external weights" : "with embedded weights";

  Deno.test(`writeOnnx() leaves nothing half-written, ${how}`, () =>
    withFolder(async (folder) => {
      const graph = traced(encoder());
      // Folders that are made for it are gone too.
      await Deno.writeTextFile(join(folder, "file"), "");
      const absent = join(folder, "file", "folder", "un.onnx");
      await rejects(writeOnnx(graph, absent, { embeddedLimitBytes }), absent, "cannot be written");
      // A folder where the file should go is found only when the file takes its name.
      const taken = join(folder, "taken");
      await Deno.mkdir(join(taken, "un.onnx"), { recursive: true });
      const path = join(taken, "un.onnx");
      await rejects(writeOnnx(graph, path, { embeddedLimitBytes }), path, "cannot be written");
      assert.deepEqual(await filesIn(taken), ["un.onnx"]);
      assert.deepEqual(await filesIn(folder), ["file", "taken"]);
    }));

  Deno.test(`writeOnnx() leaves nothing half-written where a weight cannot be read, ${how}`, () =>
    withFolder(async (folder) => {
      await assert.rejects(
        writeOnnx(unreadable(), join(folder, "un.onnx"), { embeddedLimitBytes }),
        /the disk is gone/,
      );
      assert.deepEqual(await filesIn(folder), []);
    }));
}

/** A graph whose last weight fails when it is read. */
function unreadable(): Graph {
  const random = new Random(1);
  const weight = param("w", [4], { random });
  const data = {
    ...weight.attrs.data as object,
    bytes: () => {
      throw new Error("the disk is gone");
    },
  };
  const broken = { ...weight, attrs: { ...weight.attrs, data } };
  // The DSL's own functions take no such tensor.
  return graphOf(apply("add", [linear(input("x", [2, 4]), 4, { random }), broken], { attrs: {} }));
}
