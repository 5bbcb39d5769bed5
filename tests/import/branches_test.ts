/**
 * Branches that sizes decide, as TorchScript writes `squeeze` and scripted functions: the one that is taken is
 * the network, and nothing of the other is looked at.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { importOnnx } from "../../src/import/model.ts";
import { topological } from "../../src/ir/graph.ts";
import { ATTRIBUTE, DATA_TYPE } from "../../src/onnx/schema.ts";
import { graph, modelBytes, node, type Proto, tensor, value } from "../onnx/models.ts";
import { refuses, withFolder } from "../support.ts";

const int64s = (name: string, values: readonly number[], dims = [values.length]) =>
  tensor(name, [], {
    dims,
    dataType: DATA_TYPE.int64,
    rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
  });

const branch = (name: string, g: Proto): Proto => ({ name, type: 5, g });

/** `x` or what is made of it, by whether a size of it is `wanted`. */
function file(axis: number, wanted: number, shape: readonly (number | string)[]): Uint8Array {
  const fits = { node: [node("Relu", ["x"], ["r"]), node("Neg", ["r"], ["out"])], output: [value("out")] };
  // Behind its own axes: it would be refused, were it taken.
  const squeeze = node("Squeeze", ["x"], ["out"], {
    attribute: [{ name: "axes", ints: [7], type: ATTRIBUTE.ints }],
  });
  const otherwise = { node: [squeeze], output: [value("out")] };
  return modelBytes(
    graph([
      node("If", ["is"], ["y"], {
        name: "choice",
        attribute: [branch("then_branch", fits), branch("else_branch", otherwise)],
      }),
      node("Shape", ["x"], ["sizes"]),
      node("Gather", ["sizes", "axis"], ["size"]),
      node("Equal", ["size", "wanted"], ["is"]),
    ], {
      input: [value("x", shape)],
      output: [value("y", shape)],
      initializer: [int64s("axis", [axis], []), int64s("wanted", [wanted], [])],
    }),
    { opsetImport: [{ domain: "", version: 11 }] },
  );
}

Deno.test("a branch that sizes decide is taken, wherever its condition stands in the file", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const imported = async (...args: Parameters<typeof file>) => {
      await Deno.writeFile(path, file(...args));
      return importOnnx(path);
    };
    const { model, open } = await imported(1, 4, ["N", 4]);
    const traced = model.trace({ weights: open() });
    assert.deepEqual(topological(traced).map(({ op }) => op), ["input", "relu", "neg"]);
    assert.deepEqual(traced.outputs[0]!.node.type.shape, ["B", 4]);
    // The other one is not what this file can do.
    await assert.rejects(imported(1, 5, ["N", 4]), /Squeeze .*axis 7/);
    // Of a size that stays open nobody can tell.
    await assert.rejects(imported(1, 4, ["N", "T"]), /T == 4|Equal\(T, 4\)/);
    await Deno.writeFile(path, file(1, 4, ["N", "T"]));
    assert.equal(importOnnx(path, { dims: { T: 4 } }).model.openDims.join(), "B");
  }));

Deno.test("a branch that values decide is refused", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const same = { node: [node("Relu", ["x"], ["out"])], output: [value("out")] };
    const branches = [branch("then_branch", same), branch("else_branch", same)];
    const choice = node("If", ["is"], ["y"], { name: "choice", attribute: branches });
    const is = node("Greater", ["x", "x"], ["is"]);
    await Deno.writeFile(
      path,
      modelBytes(graph([is, choice], { input: [value("x", [1])], output: [value("y", [1])] })),
    );
    refuses(() => importOnnx(path), 'node "choice" (If) decides at run time, by "is"');
  }));
