/** ONNX files are read as `onnx` itself reads them, and without what is only a way to write them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeOnnx } from "../../src/emit/onnx.ts";
import { float64Of, type TensorData, typedView } from "../../src/ir/data.ts";
import { topological } from "../../src/ir/graph.ts";
import type { OnnxFile } from "../../src/onnx/file.ts";
import { readOnnx } from "../../src/onnx/read.ts";
import { scopeOf } from "../../src/onnx/scope.ts";
import { encoder, traced } from "../rewrite/networks.ts";
import { dataOf, refuses, withFolder } from "../support.ts";
import { flag, graph, modelBytes, node, tensor, value, withModel } from "./models.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/onnx/", import.meta.url));
const fixture = (name: string) => join(FIXTURES, name);

type Wired = Pick<OnnxFile["graph"]["nodes"][number], "op" | "inputs" | "outputs">;

interface Elements {
  readonly name: string;
  readonly shape: number[];
  readonly elements: string[];
}

/** Nodes by operator and by numbers of the values they read and make: names within functions differ. */
function wiring(nodes: readonly Wired[]) {
  const numbers = new Map<string, number>();
  const numberOf = (name: string) => name === "" ? -1 : numbers.getOrInsert(name, numbers.size);
  return nodes.map(({ op, inputs, outputs }) => [op, inputs.map(numberOf), outputs.map(numberOf)]);
}

/** As `make_onnx.py` writes elements, numbers that are equal being equal. */
function elementsOf(data: TensorData): (number | bigint)[] {
  return data.dtype === "int64"
    ? [...typedView(data.bytes(), "int64") as BigInt64Array]
    : [...float64Of(data)].slice(0, data.shape.reduce((product, size) => product * size, 1));
}

for (const name of ["dynamo", "torchscript", "functions", "constants", "typed"]) {
  Deno.test(`readOnnx() reads ${name}.onnx as onnx does: nodes, types, shapes, every element`, async () => {
    const { graph } = readOnnx(fixture(`${name}.onnx`));
    const lines = (await Deno.readTextFile(fixture(`${name}.jsonl`))).trimEnd().split("\n");
    const records: (Wired | Elements)[] = lines.map((line) => JSON.parse(line));
    const nodes = records.filter((record) => "op" in record);
    const values = new Map(
      records.filter((record) => "elements" in record).map((record) => [record.name, record]),
    );
    assert.deepEqual(wiring(graph.nodes), wiring(nodes));
    // In order of what reads them, since functions give theirs other names.
    const inOrder = (nodes: readonly Wired[], has: (name: string) => boolean) => [
      ...new Set(nodes.flatMap(({ inputs }) => inputs).filter(has)),
    ];
    const ours = inOrder(graph.nodes, (input) => graph.initializers.has(input));
    const theirs = inOrder(nodes, (input) => values.has(input));
    assert.equal(ours.length, theirs.length);
    for (const [i, ourName] of ours.entries()) {
      const data = graph.initializers.get(ourName)!;
      const { shape, elements } = values.get(theirs[i]!)!;
      assert.deepEqual(data.shape, shape, ourName);
      assert.equal(data.bytes().byteOffset % 8, 0);
      const read = (text: string) => data.dtype === "int64" ? BigInt(text) : Number(text);
      assert.deepEqual(elementsOf(data), elements.map(read), ourName);
    }
    assert.ok(ours.length > 0);
  });
}

Deno.test("readOnnx() of both exporters' files: names of parameters, open sizes, and the modules of nodes", () => {
  for (const [name, producer] of [["dynamo", "pytorch 2.14"], ["torchscript", "pytorch 2.14"]] as const) {
    const { graph, producer: said, opsets } = readOnnx(fixture(`${name}.onnx`));
    assert.ok(said.startsWith(producer), said);
    assert.deepEqual([...opsets], [["", name === "dynamo" ? 18 : 14]]);
    assert.deepEqual(graph.inputs, [{ name: "x", dtype: "fp32", shape: ["batch", 5, 8] }]);
    assert.deepEqual(graph.outputs.map(({ name }) => name), ["y"]);
    assert.ok(graph.initializers.has("blocks.1.qkv.bias"));
    const scopes = new Set(graph.nodes.map(({ scope }) => scope));
    for (const scope of ["blocks.0", "blocks.1.norm", "blocks.0.qkv", "blocks.1.mlp.2", "head.1", ""]) {
      assert.ok(scopes.has(scope), `${name}: ${scope} of ${[...scopes]}`);
    }
  }
});

Deno.test("readOnnx() reads what UNfold writes, weights within and beside: names, order, values", async () => {
  await withFolder(async (folder) => {
    const written = traced(encoder(), { dims: { B: 2, S: 4 } });
    for (const embeddedLimitBytes of [2 ** 30, 0]) {
      const path = join(folder, `${embeddedLimitBytes}.onnx`);
      await writeOnnx(written, path, { embeddedLimitBytes, metadata: { digest: "abc" } });
      const { graph, producer, metadata } = readOnnx(path);
      assert.match(producer, /^UNfold \d/);
      assert.equal(metadata.get("digest"), "abc");
      assert.deepEqual(
        graph.inputs,
        written.inputs.map(({ name, type }) => ({ name, dtype: type.dtype, shape: type.shape })),
      );
      const weights = topological(written).filter(({ op, name }) =>
        op === "constant" && name.endsWith("weight")
      );
      assert.ok(weights.length > 4);
      for (const weight of weights) {
        assert.deepEqual(graph.initializers.get(weight.name)!.bytes(), dataOf(weight).bytes(), weight.name);
      }
    }
  });
});

Deno.test("readOnnx() puts nodes in order, names those without, and takes initializers from the inputs", async () => {
  const nodes = [node("Neg", ["b"], ["y"]), node("Add", ["x", "a"], ["b"], { domain: "ai.onnx" })];
  const more = { initializer: [tensor("a", [1, 2])], input: [value("x", ["N"]), value("a")] };
  await withModel(modelBytes(graph(nodes, more)), ({ graph: { nodes, inputs } }) => {
    assert.deepEqual(nodes.map(({ name, op, domain }) => [name, op, domain]), [["Add:b", "Add", ""], [
      "Neg:y",
      "Neg",
      "",
    ]]);
    assert.deepEqual(inputs, [{ name: "x", dtype: "fp32", shape: ["N"] }]);
  });
});

const attribute = (name: string, type: number, more: Record<string, unknown>) => ({ name, type, ...more });

Deno.test("readOnnx() gives attributes as values, and whole numbers beyond 2^53 whole", async () => {
  const attributes = [
    attribute("f", 1, { f: 0.1 }),
    attribute("infinite", 1, { f: Infinity }),
    attribute("i", 2, { i: -3 }),
    attribute("big", 2, { i: "9223372036854775807" }),
    attribute("s", 3, { s: "linear" }),
    attribute("t", 4, { t: tensor("", [5]) }),
    attribute("floats", 6, { floats: [1, 0.5] }),
    attribute("ints", 7, { ints: [-1, 300] }),
    attribute("none", 7, {}),
    attribute("strings", 8, { strings: ["a", "b"] }),
  ];
  await withModel(modelBytes(graph([node("Any", ["x"], ["y"], { attribute: attributes })])), ({ graph }) => {
    const { t, ...others } = Object.fromEntries(graph.nodes[0]!.attributes);
    assert.deepEqual([...float64Of(t as TensorData)], [5]);
    assert.deepEqual(others, {
      f: 0.1,
      infinite: Infinity,
      i: -3,
      big: 2n ** 63n - 1n,
      s: "linear",
      floats: [1, 0.5],
      ints: [-1, 300],
      none: [],
      strings: ["a", "b"],
    });
  });
});

/** `If(flag)` with other nodes in each branch, which read a value from outside. */
const branches = (then: Record<string, unknown>, otherwise: Record<string, unknown>) =>
  node("If", ["flag"], ["y"], {
    name: "if",
    attribute: [attribute("then_branch", 5, { g: then }), attribute("else_branch", 5, { g: otherwise })],
  });

Deno.test("readOnnx() takes the branch of a constant condition, and its names stay apart", async () => {
  const then = { node: [node("Neg", ["x"], ["a"]), node("Abs", ["a"], ["out"])], output: [value("out")] };
  const otherwise = { initializer: [tensor("out", [7, 8])], output: [value("out")] };
  const before = node("Relu", ["x"], ["a"]);
  for (const taken of [true, false]) {
    const more = { initializer: [flag("flag", taken)], output: [value("y"), value("a")] };
    await withModel(modelBytes(graph([before, branches(then, otherwise)], more)), ({ graph }) => {
      assert.deepEqual(
        graph.nodes.map(({ name, inputs, outputs }) => [name, ...inputs, ...outputs]),
        taken
          ? [["Relu:a", "x", "a"], ["if/Neg:a", "x", "if/a"], ["if/Abs:out", "if/a", "y"]]
          : [["Relu:a", "x", "a"]],
      );
      if (!taken) assert.deepEqual([...float64Of(graph.initializers.get("y")!)], [7, 8]);
    });
  }
});

Deno.test("readOnnx() of a branch that gives a value from outside copies it; the condition may come later", async () => {
  const passes = { output: [value("x")] };
  const constant = node("Constant", [], ["flag"], {
    attribute: [attribute("value", 4, { t: flag("", true) })],
  });
  await withModel(modelBytes(graph([branches(passes, passes), constant])), ({ graph }) => {
    assert.deepEqual(graph.nodes.map(({ op, inputs, outputs }) => [op, ...inputs, ...outputs]), [[
      "Identity",
      "x",
      "y",
    ]]);
  });
});

Deno.test("readOnnx() writes out functions: defaults, attributes left out, overloads, outputs unused and passed on", async () => {
  const scale = {
    name: "Scale",
    domain: "own",
    overload: "two",
    input: ["x", "optional"],
    output: ["y", "unused", "x"],
    attributeProto: [attribute("alpha", 1, { f: 2 })],
    node: [
      node("A", ["x", "optional"], ["y"], {
        attribute: [attribute("alpha", 1, { refAttrName: "alpha" }), attribute("n", 2, { refAttrName: "n" })],
      }),
      node("B", ["y"], ["unused"]),
    ],
  };
  const calls = [
    node("Scale", ["x"], ["a", "", "same"], { domain: "own", overload: "two", name: "first" }),
    node("Scale", ["a", "same"], ["y"], {
      domain: "own",
      overload: "two",
      attribute: [attribute("n", 2, { i: 3 })],
    }),
  ];
  const more = { functions: [scale], opsetImport: [{ version: 18 }, { domain: "own", version: 1 }] };
  await withModel(modelBytes(graph(calls), more), ({ graph: { nodes } }) => {
    assert.deepEqual(
      nodes.map((
        { name, inputs, outputs, attributes },
      ) => [name, inputs, outputs, Object.fromEntries(attributes)]),
      [
        ["first/A:y", ["x", ""], ["a"], { alpha: 2 }],
        ["first/B:unused", ["a"], ["first/unused"], {}],
        ["first/Identity:x", ["x"], ["same"], {}],
        ["Scale:y/A:y", ["a", "same"], ["y"], { alpha: 2, n: 3 }],
        ["Scale:y/B:unused", ["y"], ["Scale:y/unused"], {}],
      ],
    );
  });
});

Deno.test("scopeOf() reads the module from either exporter's words", () => {
  const scopes = (name: string, said?: string) =>
    scopeOf({
      name,
      metadataProps: said === undefined ? [] : [{ key: "pkg.torch.onnx.name_scopes", value: said }],
    });
  assert.equal(scopes("n", "['', 'blocks.0', 'blocks.0.attn', 'linear']"), "blocks.0.attn");
  assert.equal(scopes("n", "['', 'blocks.0@1', 'blocks.0@1.attn', 'linear']"), "blocks.0.attn");
  assert.equal(scopes("n", "['', 'linear']"), "");
  assert.equal(scopes("n", "['_empty_nn_module_stack_from_metadata_hook', 'size']"), "");
  assert.equal(scopes("/blocks/blocks.0/attn/MatMul_1"), "blocks.0.attn");
  assert.equal(scopes("/model/layers.0/mlp/mlp.2/Gemm"), "model.layers.0.mlp.2");
  assert.equal(scopes("/Add"), "");
  assert.equal(scopes("Identity_51"), "");
});

Deno.test("readOnnx() keeps quantized nodes and the domain com.microsoft", async () => {
  const nodes = [
    node("QuantizeLinear", ["x", "s"], ["q"]),
    node("DequantizeLinear", ["q", "s"], ["d"]),
    node("Gelu", ["d"], ["y"], { domain: "com.microsoft" }),
  ];
  const opsetImport = [{ domain: "", version: 17 }, { domain: "com.microsoft", version: 1 }];
  const bytes = modelBytes(graph(nodes, { initializer: [tensor("s", [1])] }), { opsetImport });
  await withModel(bytes, ({ graph }) => {
    assert.deepEqual(graph.nodes.map(({ op, domain }) => domain + op), [
      "QuantizeLinear",
      "DequantizeLinear",
      "com.microsoftGelu",
    ]);
  });
});

Deno.test("readOnnx() refuses a file that changed since", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    const bytes = modelBytes(graph([node("Add", ["x", "a"], ["y"])], { initializer: [tensor("a", [1, 2])] }));
    await Deno.writeFile(path, bytes);
    const { graph: read } = readOnnx(path);
    await Deno.writeFile(path, new Uint8Array(bytes.length + 1));
    refuses(() => read.initializers.get("a")!.bytes(), '"a"', "has changed");
  });
});
