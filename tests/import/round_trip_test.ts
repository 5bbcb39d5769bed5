/** What UNfold writes as ONNX it reads as the same network. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { importOnnx } from "../../src/import/model.ts";
import { chooseWeights } from "../../src/compile/networks.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { ATTRIBUTE, DATA_TYPE } from "../../src/onnx/schema.ts";
import { graph, modelBytes, node, tensor, value } from "../onnx/models.ts";
import { refuses, rejects, withFolder } from "../support.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { type Graph, topological } from "../../src/ir/graph.ts";
import { fixedShape } from "../../src/ir/shape.ts";
import {
  batchNorm,
  block,
  float,
  layerNorm,
  linear,
  model,
  noNorm,
  type Norm,
  norm,
  patchEmbedding,
  rmsNorm,
  unifiedNorm,
} from "../../mod.ts";
import { randomWeights } from "../../src/weights/mod.ts";

const network = model({
  name: "tiny",
  inputs: { image: float(["B", 3, 8, 8]) },
  norm: layerNorm(),
  forward({ image }, p) {
    const tokens = patchEmbedding(image, p.at("patch"), { patch: 4, channels: 8 });
    const x = block(tokens, p.at("block"), { heads: 2, mlp: { hidden: 16 } });
    return { logits: linear(norm(x, p.at("norm")).mean({ axes: [1] }), p.at("head"), { outputs: 3 }) };
  },
});

function outputs(graph: Graph): Float64Array {
  const feeds = Object.fromEntries(graph.inputs.map(({ name, type }) => {
    const shape = fixedShape(type.shape);
    const data = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + 1));
    return [name, { shape, data }];
  }));
  return Object.values(evaluateGraph(graph, feeds))[0]!.data;
}

const trace = (norm = network.norm) => ({ weights: randomWeights({ seed: 1 }), norm, dims: { B: 2 } });

/** The network as files, by the families of their normalizations. */
async function written(folder: string, norms: readonly Norm[]): Promise<string[]> {
  const paths = norms.map(({ family }) => join(folder, `${family}.onnx`));
  for (const [i, norm] of norms.entries()) {
    await writeOnnx(network.trace({ weights: randomWeights({ seed: 1 }), norm }), paths[i]!);
  }
  return paths;
}

function agree(got: Float64Array, want: Float64Array): void {
  assert.equal(got.length, want.length);
  // Weights are rounded to float32 in the file.
  got.forEach((value, i) => assert.ok(Math.abs(value - want[i]!) < 1e-6 * Math.abs(want[i]!) + 1e-6));
}

for (const norm of [layerNorm(), rmsNorm(), unifiedNorm(), batchNorm()]) {
  Deno.test(`importOnnx() of what UNfold wrote with ${norm.label} is that network, and folds as it does`, () =>
    withFolder(async (folder) => {
      const [path] = await written(folder, [norm]);
      const { model, open } = importOnnx(path!);
      assert.deepEqual(model.inputs, { image: { dtype: "float", shape: ["B", 3, 8, 8] } });
      const graph = model.trace({ weights: open(), dims: { B: 2 } });
      const described = network.trace(trace(norm));
      agree(outputs(graph), outputs(described));
      const [folded, expected] = [optimize(graph), optimize(described)];
      agree(outputs(folded.graph), outputs(described));
      assert.deepEqual(
        folded.norms.map(({ folded, into }) => [folded, into.length]),
        expected.norms.map(({ folded, into }) => [folded, into.length]),
      );
    }));
}

Deno.test("an imported network is traced with another normalization at the same places", () =>
  withFolder(async (folder) => {
    const [path] = await written(folder, [layerNorm()]);
    const { model } = importOnnx(path!);
    assert.equal(model.norm.family, "ln");
    const traced = (norm: Norm) =>
      optimize(model.trace({ weights: randomWeights({ seed: 2 }), norm, dims: { B: 2 } }));
    assert.equal(traced(unifiedNorm()).norms.filter(({ folded }) => folded).length, 3);
    assert.deepEqual(traced(noNorm()).norms, []);
  }));

Deno.test("the reference of an imported network can be another file, of other normalizations and the same inputs", () =>
  withFolder(async (folder) => {
    const [un, ln] = await written(folder, [unifiedNorm(), layerNorm()]);
    const reference = importOnnx(ln!);
    const imported = importOnnx(un!, { reference });
    const { model } = imported;
    assert.deepEqual([model.norm.family, model.reference.family], ["affine", "ln"]);
    const weights = chooseWeights(model, model.reference, { recognised: imported, isReference: true });
    assert.deepEqual([weights.origin, weights.trained], [ln, true]);
    const graph = model.trace({ weights: weights.open(), norm: model.reference, dims: { B: 2 } });
    agree(outputs(graph), outputs(network.trace(trace(layerNorm()))));
    refuses(() => importOnnx(un!, { reference: importOnnx(un!) }), "both of Multiplication and addition");
  }));

const axisOne = { attribute: [{ name: "axis", i: 1, type: ATTRIBUTE.int }] };

/** `y = x + a` with the shapes of both inputs. */
const sum = (x: readonly (number | string)[], a: readonly (number | string)[]) =>
  modelBytes(graph([node("Add", ["x", "a"], ["y"], { name: "sum" })], {
    input: [value("x", x), value("a", a)],
    output: [value("y", x)],
  }));

Deno.test("open sizes have the file's names, and those that its operators have equal are one", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const imported = async (bytes: Uint8Array) => {
      await Deno.writeFile(path, bytes);
      return importOnnx(path);
    };
    const named = await imported(sum(["batch size", "seq.len"], ["batch size", "seq.len"]));
    assert.deepEqual([named.model.openDims, named.settled], [["B", "seq_len"], []]);
    assert.deepEqual(named.model.origin!.sizes, { B: "batch size", seq_len: "seq.len" });
    const generated = await imported(sum(["s1", "s2"], ["s3", "s4"]));
    assert.deepEqual(generated.model.openDims, ["B", "s4"]);
    assert.deepEqual(generated.settled.map(({ why }) => why), [
      "the first axes of all inputs, s1, s3 in the file, are one size, the batch",
      's2 is s4: Add "sum" takes no other',
    ]);
    // The mask of cached tokens and new ones, as optimum calls its length.
    const cached = [node("Concat", ["past", "x"], ["both"], axisOne), node("Add", ["both", "mask"], ["y"])];
    const input = [value("x", ["N", "T"]), value("past", ["N", "P"]), value("mask", ["N", "P + T"])];
    const joined = await imported(modelBytes(graph(cached, { input, output: [value("y", ["N", "P + T"])] })));
    assert.deepEqual(joined.model.inputs.mask!.shape, ["B", "P+T"]);
    assert.deepEqual(joined.model.openDims.toSorted(), ["B", "P", "T"]);
    const fixed = await imported(sum(["N", "T"], ["N", 7]));
    assert.deepEqual(fixed.model.openDims, ["B"]);
    await rejects(
      imported(sum(["N", 7], [2, 7])),
      "is frozen at a batch of 2",
      "fix it: --dim B=2",
    );
  }));

/** A token in front of the others that was written for the batch of an example, as TorchScript does. */
const frozenAt = (batch: number) =>
  modelBytes(graph([
    node("Concat", ["token", "x"], ["y"], {
      name: "cat",
      attribute: [{ name: "axis", i: 1, type: ATTRIBUTE.int }],
    }),
  ], {
    input: [value("x", ["N", 5, 2])],
    output: [value("y", ["N", 6, 2])],
    initializer: [tensor("token", Array(2 * batch).fill(1), { dims: [batch, 1, 2] })],
  }));

Deno.test("a file that is frozen at the batch of its example says so, and is read with that batch", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    for (const batch of [1, 2, 3, 8]) {
      await Deno.writeFile(path, frozenAt(batch));
      const says = [`m.onnx is frozen at a batch of ${batch},`, "dynamo=True", `fix it: --dim B=${batch}`];
      refuses(() => importOnnx(path), ...says, 'Concat "cat"');
      refuses(() => importOnnx(path, { batch: 7 }), ...says);
      refuses(() => importOnnx(path, { dims: { B: 7 } }), 'Concat "cat"', "must agree");
      for (const options of [{ batch }, { dims: { B: batch } }]) {
        const { model, open } = importOnnx(path, options);
        assert.deepEqual([model.openDims, model.batch, model.fixedDims], [[], batch, { B: batch }]);
        assert.deepEqual(model.trace({ weights: open() }).outputs[0]!.node.type.shape, [batch, 6, 2]);
      }
    }
  }));

const int64s = (name: string, values: readonly number[]) =>
  tensor(name, [], {
    dims: [values.length],
    dataType: DATA_TYPE.int64,
    rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
  });

Deno.test("sizes that a file computes are gone from the network, those of no axes too", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const bytes = modelBytes(graph([
      node("Shape", ["x"], ["sizes"]),
      node("Slice", ["sizes", "zero", "one"], ["batch"]),
      node("Slice", ["sizes", "two", "one"], ["nothing"]),
      node("Gather", ["sizes", "one"], ["tokens"]),
      node("Mul", ["tokens", "two"], ["twice"]),
      node("Concat", ["batch", "nothing", "twice", "rest"], ["shape"], {
        attribute: [{ name: "axis", i: 0, type: ATTRIBUTE.int }],
      }),
      node("Reshape", ["x", "shape"], ["y"]),
    ], {
      input: [value("x", ["N", "T", 4])],
      output: [value("y", ["N", "U", 2])],
      initializer: [int64s("zero", [0]), int64s("one", [1]), int64s("two", [2]), int64s("rest", [-1])],
    }));
    await Deno.writeFile(path, bytes);
    const { model, open } = importOnnx(path);
    const traced = model.trace({ weights: open() });
    assert.deepEqual(topological(traced).map(({ op }) => op), ["input", "reshape"]);
    assert.deepEqual(traced.outputs[0]!.node.type.shape, ["B", "2*T", 2]);
  }));
