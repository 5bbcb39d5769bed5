import assert from "node:assert/strict";
import { join } from "node:path";
import { importOnnx } from "../../src/import/model.ts";
import { onSizesOf, type Size, sizeText } from "../../src/import/sizes.ts";
import { ATTRIBUTE, DATA_TYPE } from "../../src/onnx/schema.ts";
import { graph, modelBytes, node, value } from "../onnx/models.ts";
import { withFolder } from "../support.ts";

const whole = { isWhole: true, fmod: false };
const of = (op: string, ...sizes: Size[]) => onSizesOf(op, whole)!(...sizes);

Deno.test("sizes are computed with open ones among them, exactly or not at all", () => {
  assert.equal(of("Add", "T", 1), "T+1");
  assert.equal(of("Sub", of("Add", "T", 1), 1), "T");
  assert.equal(of("Sub", "T", "T"), 0);
  assert.equal(of("Mul", "B", of("Mul", "T", 3)), "3*B*T");
  assert.equal(of("Div", of("Mul", "B", 16), 16), "B");
  assert.equal(of("Mod", of("Mul", "B", 16), 4), 0);
  assert.equal(of("Div", -7, 2), -3);
  assert.deepEqual(of("Div", "T", 2), { unclear: "T / 2", names: ["T"] });
  assert.deepEqual(of("Add", of("Div", "T", 2), "B"), { unclear: "Add((T / 2), B)", names: ["T", "B"] });
});

Deno.test("comparisons of open sizes have an answer where every size gives the same", () => {
  assert.equal(of("Equal", "T", -1), 0);
  assert.equal(of("Equal", "T", "T"), 1);
  assert.equal(of("Greater", of("Add", "T", 1), "T"), 1);
  assert.equal(of("Less", "T", 1), 0);
  assert.equal(of("GreaterOrEqual", "T", 1), 1);
  assert.equal(typeof of("Equal", "T", 1), "object");
  assert.equal(typeof of("Less", "T", "S"), "object");
  assert.equal(of("Max", "T", 1), "T");
  assert.equal(of("Where", 0, of("Div", "T", 2), "T"), "T");
});

Deno.test("sizeText() writes what is no size yet as people do", () => {
  assert.equal(sizeText(of("Sub", "T", 1)), "T - 1");
  assert.equal(sizeText(of("Sub", 7, of("Mul", 2, "T"))), "-2*T + 7");
});

Deno.test("a shape whose last axis is unflattened: what is behind it is nothing, of known sizes and of open ones", () =>
  withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const ints = (name: string, values: readonly number[]) => ({
      name,
      dims: [values.length],
      dataType: DATA_TYPE.int64,
      rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
    });
    const nodes = [
      node("Shape", ["x"], ["shape"], { name: "shape" }),
      node("Slice", ["shape", "zero", "two"], ["front"], { name: "front" }),
      node("Slice", ["shape", "three", "end"], ["behind"], { name: "behind" }),
      node("Concat", ["front", "heads", "behind"], ["to"], {
        name: "to",
        attribute: [{ name: "axis", i: 0, type: ATTRIBUTE.int }],
      }),
      node("Reshape", ["x", "to"], ["y"], { name: "y" }),
    ];
    const initializer = [
      ...[ints("zero", [0]), ints("two", [2]), ints("three", [3]), ints("end", [2 ** 53])],
      ints("heads", [2, -1]),
    ];
    const ports = { input: [value("x", ["B", 3, 8])], output: [value("y", ["B", 3, 2, 4])], initializer };
    await Deno.writeFile(path, modelBytes(graph(nodes, ports)));
    for (const B of ["B", 5]) {
      const { model, open } = importOnnx(path);
      const traced = model.trace({ weights: open(), dims: typeof B === "number" ? { B } : {} });
      assert.deepEqual(traced.outputs[0]!.node.type.shape, [B, 3, 2, 4]);
    }
  }));
