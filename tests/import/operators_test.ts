/**
 * Each ONNX operator that is translated, by itself: a file of it is imported, folded and written again, and
 * ONNX Runtime has both give the same. A row for each form that exporters write; the table is complete.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { optimizeFile } from "../../src/compile/optimize.ts";
import { OPERATORS } from "../../src/import/operators/table.ts";
import { ATTRIBUTE, DATA_TYPE } from "../../src/onnx/schema.ts";
import { graph, modelBytes, node, type Proto, value } from "../onnx/models.ts";
import { withFolder } from "../support.ts";
import { ARRAYS, type Attribute, type Constant, type Sample } from "./sample.ts";
import { SAMPLES } from "./samples.ts";

Deno.test("every operator of the table has a sample", () => {
  assert.deepEqual(Object.keys(SAMPLES).sort(), Object.keys(OPERATORS).sort());
  assert.deepEqual(Object.keys(SAMPLES).filter((op) => SAMPLES[op]!.length === 0), ["If"]);
});

for (const [op, samples] of Object.entries(SAMPLES)) {
  for (const [i, sample] of samples.entries()) {
    Deno.test(`${op} ${i + 1} of ${samples.length} means the same imported`, () =>
      withFolder(async (folder) => {
        const path = join(folder, "m.onnx");
        await Deno.writeFile(path, bytesOf(op, sample));
        const report = await optimizeFile(path, { out: join(folder, "out.onnx") });
        const { tolerance = 2e-6 } = sample;
        assert.ok(report.agreement!.maxRelError <= tolerance, `${report.agreement!.maxRelError}`);
      }));
  }
}

function attributeOf([name, attribute]: readonly [string, Attribute]): Proto {
  if (typeof attribute === "number") return { name, i: attribute, type: ATTRIBUTE.int };
  if (typeof attribute === "string") {
    return { name, s: attribute, type: ATTRIBUTE.string };
  }
  if ("float" in attribute) return { name, f: attribute.float, type: ATTRIBUTE.float };
  if ("tensor" in attribute) return { name, t: attribute.tensor, type: ATTRIBUTE.tensor };
  return { name, ints: attribute, type: ATTRIBUTE.ints };
}

function constantOf(name: string, constant: Constant): Proto {
  const { shape, type = "fp32", values } = "shape" in constant
    ? constant
    : { shape: [constant.length], values: constant };
  const count = shape.reduce((a, b) => a * b, 1);
  const made = values ?? Array.from({ length: count }, (_, i) => type === "fp32" ? Math.sin(i + 1) : i - 1);
  const array = type === "int64" ? BigInt64Array.from(made, BigInt) : ARRAYS[type].from(made as never);
  return { name, dims: shape, dataType: DATA_TYPE[type], rawData: new Uint8Array(array.buffer) };
}

/** A file of one operator. */
function bytesOf(full: string, sample: Sample): Uint8Array {
  const {
    inputs,
    attributes = {},
    constants = {},
    absent = [],
    outputs = 1,
    gives = "fp32",
    opset = 17,
    behind,
    then,
  } = sample;
  const [op, domain] = [
    full.slice(full.lastIndexOf(".") + 1),
    full.slice(0, Math.max(0, full.lastIndexOf("."))),
  ];
  const places = Math.max(
    inputs.length + Object.keys(constants).length + absent.length,
    ...Object.keys(constants).map((i) => Number(i) + 1),
  );
  const free = inputs.map((_, i) => i);
  const names = Array.from({ length: places }, (_, place) => {
    if (place in constants) return `c${place}`;
    if (absent.includes(place)) return "";
    const next = free.shift();
    return next === undefined ? "" : `x${next}`;
  });
  const first = behind === undefined ? [] : [node(behind, ["x0"], ["inner"], { name: "behind" })];
  const read = names.map((name) => name === "x0" && behind !== undefined ? "inner" : name);
  const ends = Array.from({ length: outputs }, (_, i) => `y${i}`);
  const attribute = { attribute: Object.entries(attributes).map(attributeOf) };
  const last = then === undefined
    ? []
    : [node(then, ["made", ...names.slice(1)], ends, { name: "then", ...attribute })];
  const subject = node(op, read, then === undefined ? ends : ["made"], {
    name: "subject",
    ...domain !== "" && { domain },
    ...attribute,
  });
  const port = (name: string, [head, ...rest]: readonly (number | string)[]) => {
    const isTyped = typeof head === "string" && head in ARRAYS;
    const shape = isTyped ? rest : [head!, ...rest];
    return value(name, shape, DATA_TYPE[isTyped ? head as keyof typeof ARRAYS : "fp32"]);
  };
  return modelBytes(
    graph([...first, subject, ...last], {
      input: inputs.map((shape, i) => port(`x${i}`, shape)),
      output: ends.map((name, i) => ({
        name,
        type: { tensorType: { elemType: DATA_TYPE[typeof gives === "string" ? gives : gives[i]!] } },
      })),
      initializer: Object.entries(constants).map(([place, constant]) => constantOf(`c${place}`, constant)),
    }),
    {
      opsetImport: [{ domain: "", version: opset }, ...domain === "" ? [] : [{ domain, version: 1 }]],
    },
  );
}
