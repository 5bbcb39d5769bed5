/** Bad ONNX files: each is one error that says what, where and what to do. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readOnnx } from "../../src/onnx/read.ts";
import { refuses, rejects, withFolder } from "../support.ts";
import { flag, graph, modelBytes, node, type Proto, tensor, value, withModel } from "./models.ts";

const NEG = node("Neg", ["x"], ["y"]);
const GOOD = graph([NEG]);
const attribute = (name: string, type: number, more: Proto) => ({ name, type, ...more });
const weighed = (more: Proto) =>
  graph([node("Add", ["x", "w"], ["y"])], { initializer: [tensor("w", [1, 2], more)] });
const external = (entries: Readonly<Record<string, string>>, more: Proto = {}) =>
  weighed({
    rawData: null,
    dataLocation: 1,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
    ...more,
  });
const bytes = (...values: number[]) => Uint8Array.from(values);
const own = (more: Proto) => ({ name: "F", domain: "own", input: ["x"], output: ["y"], node: [], ...more });
const CALL = { functions: [], opsetImport: [{ version: 18 }, { domain: "own", version: 1 }] };

/** What is wrong, the file, and what its error says. */
const BAD: readonly (readonly [what: string, file: Uint8Array, ...says: string[]])[] = [
  ["no bytes", bytes(), "m.onnx is not an ONNX model", "no graph", "export"],
  [
    "no protobuf",
    bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
    "byte 0",
    "does not end",
  ],
  ["the field 0", bytes(0, 0), "byte 0", "number 0"],
  ["a group", bytes(0x0b), "byte 1", "wire type 3"],
  ["a text that is not UTF-8", bytes(0x12, 1, 0xff), "byte 2", "UTF-8"],
  [
    "an input with a name of JavaScript's own",
    modelBytes(graph([node("Neg", ["__proto__"], ["y"])], { input: [value("__proto__")] })),
    '"__proto__"',
    "another",
  ],
  ["no graph", modelBytes(null), "no graph"],
  ["no ir_version", modelBytes(GOOD, { irVersion: null }), "no ir_version"],
  ["no outputs", modelBytes(graph([NEG], { output: [] })), "no outputs"],
  [
    "an output that nothing makes",
    modelBytes(graph([NEG], { output: [value("z")] })),
    '"z"',
    "made by nothing",
  ],
  ["an output twice", modelBytes(graph([NEG], { output: [value("y"), value("y")] })), '"y"', "twice"],
  [
    "an old opset",
    modelBytes(GOOD, { opsetImport: [{ version: 9 }] }),
    "opset 9",
    "11 to 28",
    "opset_version",
  ],
  ["a future opset", modelBytes(GOOD, { opsetImport: [{ version: 999 }] }), "opset 999"],
  [
    "two versions",
    modelBytes(GOOD, { opsetImport: [{ version: 17 }, { domain: "ai.onnx", version: 18 }] }),
    "17 and 18",
  ],
  ["no version", modelBytes(GOOD, { opsetImport: [] }), 'node "Neg:y" (Neg)', "version"],
  ["a domain without version", modelBytes(graph([{ ...NEG, domain: "acme" }])), '"acme"', "(Neg)"],
  ["a name made twice", modelBytes(graph([NEG, NEG])), '"y"', "(Neg)", "unique"],
  [
    "a weight that is a result",
    modelBytes(graph([NEG], { initializer: [tensor("y", [1])] })),
    '"y"',
    "unique",
  ],
  [
    "two weights of a name",
    modelBytes(graph([NEG], { initializer: [tensor("w", [1]), tensor("w", [1])] })),
    '"w"',
  ],
  [
    "a cycle",
    modelBytes(graph([node("A", ["b"], ["a"]), node("B", ["a"], ["b"]), NEG])),
    "cycle",
    '"A:a", "B:b"',
  ],
  [
    "a node that reads its result",
    modelBytes(graph([node("A", ["y"], ["y"], { name: "a" })])),
    "cycle",
    '"a"',
  ],
  [
    "a value that nothing makes",
    modelBytes(graph([node("A", ["xx"], ["y"])])),
    '"A:y"',
    '"xx"',
    'Closest: "x"',
  ],
  [
    "a shape of more than its bytes",
    modelBytes(weighed({ dims: [3] })),
    'tensor "w"',
    "8 bytes",
    "[3] takes 12",
  ],
  ["a negative size", modelBytes(weighed({ dims: [-2] })), 'tensor "w"', "[-2]"],
  [
    "a size that overflows",
    modelBytes(weighed({ dims: ["4294967296", "4294967296"] })),
    "[4294967296, 4294967296]",
  ],
  ["values in two places", modelBytes(weighed({ floatData: bytes(0, 0, 0, 0) })), "two places"],
  ["values of another kind", modelBytes(weighed({ rawData: null, int32Data: bytes(1, 2) })), "int32Data"],
  ["no values", modelBytes(weighed({ rawData: null })), "0 bytes", "takes 8"],
  ["a type that UNfold has not", modelBytes(weighed({ dataType: 14 })), "COMPLEX64", "Cast"],
  ["a type that ONNX has not", modelBytes(weighed({ dataType: 99 })), "99"],
  [
    "a sparse weight",
    modelBytes(graph([NEG], { sparseInitializer: [{ values: tensor("w", [1]) }] })),
    '"w" is sparse',
  ],
  [
    "an input of another type",
    modelBytes(graph([NEG], { input: [value("x", [2], 8)] })),
    'input "x"',
    "STRING",
  ],
  [
    "an input that is no tensor",
    modelBytes(graph([NEG], { input: [{ name: "x", type: {} }] })),
    'input "x"',
    "sequence",
  ],
  ["an input of no type", modelBytes(graph([NEG], { input: [{ name: "x" }] })), 'input "x"', "no type"],
  ["a negative size of an input", modelBytes(graph([NEG], { input: [value("x", [-7])] })), '"x"', "-7"],
  [
    "a loop",
    modelBytes(
      graph([{ ...NEG, opType: "Loop", name: "l", attribute: [attribute("body", 5, { g: GOOD })] }]),
    ),
    'node "l" (Loop)',
    '"body"',
    "without loops",
  ],
  [
    "a branch taken at run time",
    modelBytes(
      graph([{ ...NEG, opType: "If", name: "i", attribute: [attribute("then_branch", 5, { g: GOOD })] }]),
    ),
    'node "i" (If)',
    '"x"',
    "run time",
  ],
  [
    "a branch that is not there",
    modelBytes(graph([node("If", ["f"], ["y"])], { initializer: [flag("f", true)] })),
    "(If)",
    "no then_branch",
  ],
  [
    "an attribute that is a type",
    modelBytes(graph([{ ...NEG, attribute: [attribute("tp", 13, {})] }])),
    '"tp"',
    "13",
  ],
  [
    "a Constant without value",
    modelBytes(graph([node("Constant", [], ["c"]), node("A", ["c"], ["y"])])),
    "(Constant)",
    "0 values",
  ],
  [
    "a Constant that is a text",
    modelBytes(
      graph([
        node("Constant", [], ["c"], { attribute: [attribute("value_string", 3, { s: "a" })] }),
        node("A", ["c"], ["y"]),
      ]),
    ),
    "(Constant)",
    '"value_string"',
  ],
  [
    "a function that calls itself",
    modelBytes(graph([node("F", ["x"], ["y"], { domain: "own" })]), {
      ...CALL,
      functions: [own({ node: [node("F", ["x"], ["y"], { domain: "own" })] })],
    }),
    "(F)",
    "calls itself",
  ],
  [
    "a call with too many inputs",
    modelBytes(graph([node("F", ["x", "x"], ["y"], { domain: "own" })]), { ...CALL, functions: [own({})] }),
    "2 inputs",
  ],
  [
    "a function that reads a name of outside",
    modelBytes(graph([NEG, node("F", ["x"], ["z"], { domain: "own" })], { output: [value("z")] }), {
      ...CALL,
      functions: [own({ output: ["o"], node: [node("A", ["y"], ["o"])] })],
    }),
    '"F:z/A:o"',
    '"F:z/y", which no input',
  ],
  [
    "functions that double each other",
    modelBytes(graph([node("F0", ["x"], ["y"], { domain: "own" })]), {
      ...CALL,
      functions: Array.from({ length: 64 }, (_, i) =>
        own({
          name: `F${i}`,
          node: ["y", "z"].map((made) =>
            node(i === 63 ? "Neg" : `F${i + 1}`, ["x"], [made], { domain: "own" })
          ),
        })),
    }),
    "more than 262144 nodes",
  ],
];

for (const [what, file, ...says] of BAD) {
  Deno.test(`readOnnx() refuses a file with ${what}`, async () => {
    await rejects(withModel(file, () => assert.fail("was read")), "m.onnx", ...says);
  });
}

Deno.test("readOnnx() refuses a file cut anywhere", async () => {
  const whole = modelBytes(weighed({}));
  await withFolder(async (folder) => {
    const path = join(folder, "m.onnx");
    let refused = 0;
    for (let end = 0; end < whole.length; end++) {
      await Deno.writeFile(path, whole.subarray(0, end));
      refuses(() => {
        readOnnx(path);
        throw new Error(`was read with ${end} of ${whole.length} bytes`);
      }, path);
      refused++;
    }
    assert.equal(refused, whole.length);
  });
});

Deno.test("readOnnx() refuses external data that is missing, short or outside of the folder", async () => {
  const data = new Uint8Array(100);
  const beside = { "w.data": data };
  const cases: readonly (readonly [Readonly<Record<string, string>>, ...string[]])[] = [
    [{ location: "gone.data" }, '"gone.data"', "is not in", "all of them"],
    [{ location: "w.data", offset: "96" }, "byte 104", "has 100", "cut short"],
    [{ location: "w.data", offset: "-4" }, 'offset of its external data is "-4"'],
    [{ location: "w.data", offset: "99999999999999999999" }, "offset"],
    [{ location: "w.data", length: "12" }, "take 8 bytes", "has 12"],
    [{ location: "../w.data" }, '"../w.data"', "parent folder"],
    [{ location: "a/../../w.data" }, "parent folder"],
    [{ location: "..\\w.data" }, "parent folder"],
    [{ location: "/etc/passwd" }, "absolute"],
    [{ location: "C:\\w.data" }, "absolute"],
    [{ location: "" }, "not the name of a file"],
    [{}, "not the name of a file"],
    [{ location: "." }, "outside"],
  ];
  for (const [entries, ...says] of cases) {
    const read = withModel(modelBytes(external(entries)), () => assert.fail(JSON.stringify(entries)), beside);
    await rejects(read, 'tensor "w"', ...says);
  }
  await withModel(modelBytes(external({ location: "w.data", offset: "92", length: "8" })), ({ graph }) => {
    assert.equal(graph.initializers.get("w")!.bytes().length, 8);
  }, beside);
});

Deno.test("readOnnx() follows a link of external data within the folder, as a cache has them, and no further", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "snapshot", "m.onnx");
    await Deno.mkdir(join(folder, "snapshot"));
    await Deno.mkdir(join(folder, "blobs"));
    await Deno.mkdir(join(folder, "snapshot", "w.data"));
    await Deno.writeFile(path, modelBytes(external({ location: "w.data" })));
    refuses(() => readOnnx(path), 'tensor "w"', "external data", "is a directory");
    await Deno.remove(join(folder, "snapshot"), { recursive: true });
    await Deno.mkdir(join(folder, "snapshot"));
    await Deno.writeFile(join(folder, "blobs", "1"), modelBytes(external({ location: "w.data" })));
    await Deno.writeFile(join(folder, "blobs", "2"), new Uint8Array(8));
    await Deno.symlink("../blobs/2", join(folder, "snapshot", "w.data"));
    await Deno.copyFile(join(folder, "blobs", "1"), path);
    refuses(() => readOnnx(path), '"w.data"', "link to a file elsewhere");
    await Deno.remove(path);
    await Deno.symlink("../blobs/1", path);
    assert.equal(readOnnx(path).graph.initializers.get("w")!.bytes().length, 8);
  });
});

Deno.test("readOnnx() refuses messages that lie absurdly deep", async () => {
  let inner: Uint8Array = new Uint8Array();
  const wrapped = (tag: number, content: Uint8Array) => {
    const length = [];
    for (let rest = content.length;; rest >>>= 7) {
      length.push(rest < 128 ? rest : rest & 127 | 128);
      if (rest < 128) break;
    }
    return Uint8Array.of(tag, ...length, ...content);
  };
  // A graph in an attribute of a node of a graph.
  for (let i = 0; i < 200; i++) inner = wrapped(0x0a, wrapped(0x2a, wrapped(0x32, inner)));
  await rejects(withModel(wrapped(0x3a, inner), () => assert.fail()), "100 deep");
});

Deno.test("a tensor in a list of numbers that are too few or too many is refused when it is read", async () => {
  const int64 = (int64Data: Uint8Array) => modelBytes(weighed({ dataType: 7, rawData: null, int64Data }));
  const read = (file: Uint8Array) => withModel(file, ({ graph }) => graph.initializers.get("w")!.bytes());
  const elements = new BigInt64Array((await read(int64(bytes(1, 0xac, 2)))).slice().buffer);
  assert.deepEqual(elements, BigInt64Array.of(1n, 300n));
  await rejects(read(int64(bytes(1))), '"w"', "1 bytes", "2 numbers");
  await rejects(read(int64(bytes(1, 0xac))), '"w"', "fewer");
  await rejects(read(int64(bytes(0xac, 2))), '"w"', "fewer");
  await rejects(read(int64(bytes(1, 2, 3))), '"w"', "more");
});
