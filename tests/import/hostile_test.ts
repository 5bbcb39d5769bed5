/** Files that are in order as ONNX files, and are refused as networks, or have to be right as these. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { optimizeFile } from "../../src/compile/optimize.ts";
import { importOnnx } from "../../src/import/model.ts";
import { DATA_TYPE } from "../../src/onnx/schema.ts";
import { graph, modelBytes, node, type Proto, tensor, value } from "../onnx/models.ts";
import { refuses, rejects, withFolder } from "../support.ts";

const INPUT = value("x", ["N", 2]);
const OUTPUT = value("y", ["N", 2]);
const whole = (nodes: readonly Proto[], more: Proto = {}, file: Proto = {}) =>
  modelBytes(graph(nodes, { input: [INPUT], output: [OUTPUT], ...more }), file);
const int64 = (name: string, values: readonly number[], dims: readonly number[] = [values.length]) =>
  tensor(name, [], {
    dims,
    dataType: DATA_TYPE.int64,
    rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
  });
const flag = tensor("yes", [], { dims: [], dataType: DATA_TYPE.bool, rawData: Uint8Array.of(1) });
const half = tensor("half", [0.5], { dims: [] });

/** What is wrong, the file, and what its error says. */
const BAD: readonly (readonly [what: string, file: Uint8Array, ...says: string[]])[] = [
  [
    "dropout in training mode",
    whole([node("Dropout", ["x", "half", "yes"], ["y"])], { initializer: [half, flag] }),
    "Dropout",
    "training mode",
    "model.eval()",
  ],
  [
    "a range without end",
    whole([
      node("Range", ["zero", "end", "one"], ["positions"]),
      node("Cast", ["positions"], ["floats"], { attribute: [{ name: "to", i: 1, type: 2 }] }),
      node("ReduceSum", ["floats"], ["sum"]),
      node("Add", ["x", "sum"], ["y"]),
    ], { initializer: [int64("zero", [0], []), int64("end", [2 ** 40], []), int64("one", [1], [])] }),
    "Range",
    "1099511627776 constants",
  ],
  [
    "a tensor without elements",
    whole([node("MatMul", ["x", "w"], ["y"])], { initializer: [tensor("w", [], { dims: [2, 0] })] }),
    "MatMul",
    "it makes a tensor of",
    "holds nothing",
  ],
];

for (const [what, file, ...says] of BAD) {
  Deno.test(`importOnnx() refuses ${what}`, () =>
    withFolder(async (folder) => {
      const path = join(folder, "m.onnx");
      await Deno.writeFile(path, file);
      refuses(() => importOnnx(path), "m.onnx", ...says);
    }));
}

Deno.test("constants that are too many to be computed while a file is read stay an operator", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const file = whole([
      node("ConstantOfShape", ["sizes"], ["zeros"]),
      node("ReduceSum", ["zeros"], ["sum"]),
      node("Add", ["x", "sum"], ["y"]),
    ], { initializer: [int64("sizes", [2 ** 15, 2 ** 15])] });
    await Deno.writeFile(path, file);
    const { nodes } = (await optimizeFile(path, { out: join(folder, "o.onnx"), check: false })).output!;
    assert.equal(nodes, 3);
  }));

Deno.test("weights in eight bits are compared with what the file says, not with whole numbers that ONNX Runtime makes of it", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const weight = tensor("w8", [], {
      dims: [2, 2],
      dataType: DATA_TYPE.int8,
      rawData: Uint8Array.of(3, 250, 77, 200),
    });
    const file = whole([
      node("DequantizeLinear", ["w8", "scale"], ["w"]),
      node("Mul", ["x", "norm.weight"], ["scaled"]),
      node("MatMul", ["scaled", "w"], ["y"]),
    ], {
      initializer: [weight, tensor("scale", [0.1], { dims: [] }), tensor("norm.weight", [1.7, -0.3])],
    }, { opsetImport: [{ domain: "", version: 19 }] });
    await Deno.writeFile(path, file);
    const { agreement } = await optimizeFile(path, { out: join(folder, "o.onnx") });
    assert.ok(agreement!.maxRelError < 1e-6, `${agreement!.maxRelError}`);
  }));

Deno.test("inputs of one byte are run, and those of 64 bits are said to become 32", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const cast = node("Cast", ["x"], ["y"], { attribute: [{ name: "to", i: 1, type: 2 }] });
    for (const type of ["int8", "uint8"] as const) {
      await Deno.writeFile(path, whole([cast], { input: [value("x", ["N", 2], DATA_TYPE[type])] }));
      const { agreement } = await optimizeFile(path, { out: join(folder, "o.onnx") });
      assert.equal(agreement!.maxAbsError, 0);
    }
    await Deno.writeFile(path, whole([cast], { input: [value("x", ["N", 2], DATA_TYPE.fp64)] }));
    const { assumed } = await optimizeFile(path, { out: join(folder, "o.onnx"), check: false });
    assert.match(assumed.join(), /floats of 64 bits are taken for floats of 32/);
  }));

Deno.test("optimize writes over no file that has weights of the one that it reads", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const weight = tensor("w", [], {
      dims: [2, 2],
      rawData: null,
      dataLocation: 1,
      externalData: [{ key: "location", value: "new.onnx.data" }],
    });
    await Deno.writeFile(path, whole([node("MatMul", ["x", "w"], ["y"])], { initializer: [weight] }));
    await Deno.writeFile(join(folder, "new.onnx.data"), new Uint8Array(16));
    for (const out of ["new.onnx", "new.onnx.data"]) {
      await rejects(
        optimizeFile(path, { out: join(folder, out) }),
        "new.onnx.data has weights of",
        "another name",
      );
    }
    assert.equal((await optimizeFile(path, { out: join(folder, "other.onnx") })).agreement!.agrees, true);
  }));

Deno.test("sizes beyond what is run are one error, behind the file", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    await Deno.writeFile(path, whole([node("Neg", ["x"], ["y"])]));
    refuses(() => importOnnx(path, { dims: { B: 2 ** 31 } }), "from 1 to 2147483647 for B, not 2147483648");
    await rejects(
      optimizeFile(path, { out: join(folder, "o.onnx"), dims: { B: 2 ** 30 } }),
      "o.onnx was written, but not compared",
      "[1073741824, 2] is too large",
    );
  }));
