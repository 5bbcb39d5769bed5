/**
 * The pickle machine: what opcodes become, and that what is malformed, unbounded or asks for code is one
 * error.
 */
import assert from "node:assert/strict";
import { UnfoldError } from "../../src/errors.ts";
import { MAX_STEPS } from "../../src/weights/pytorch/pickle.ts";
import { MAX_DEPTH } from "../../src/weights/pytorch/pickle_stack.ts";
import { MAX_STRING_BYTES } from "../../src/weights/pytorch/pickle_reader.ts";
import {
  ObjectRecord,
  PickleList,
  PickleSet,
  type PickleValue,
} from "../../src/weights/pytorch/pickle_values.ts";
import { TensorRecord } from "../../src/weights/pytorch/values.ts";
import { Random } from "../support.ts";
import { refuses } from "./fixtures.ts";
import { committed, opcodes, pickle, size, tensor, text, u32, u64, unpickle } from "./pytorch_files.ts";

/** Lists and sets as arrays, dicts as pairs: what assert can compare. */
function shown(value: PickleValue): unknown {
  if (value instanceof PickleList || value instanceof PickleSet) return value.items.map(shown);
  if (value instanceof Map) return [...value].map(([key, item]) => [shown(key), shown(item)]);
  return Array.isArray(value) ? value.map(shown) : value;
}

const MEANINGS: readonly (readonly [what: string, bytes: Uint8Array, value: unknown])[] = [
  ["constants", pickle("(N\x88\x89t"), [null, true, false]],
  ["integers", pickle("(K\xffM\x34\x12J", u32(-2), "t"), [255, 0x1234, -2]],
  ["long integers", pickle("(\x8a\0\x8a\x01\xff\x8b", u32(2), "\0\x80t"), [0, -1, -32768]],
  ["integers beyond 2^53", pickle("\x8a\x09", u64(0), 1), 2n ** 64n],
  ["a float", pickle("G\x3f\xf8\0\0\0\0\0\0"), 1.5],
  ["strings", pickle("(", text("é"), "\x8c\x01a\x8d", u64(1), "bt"), ["é", "a", "b"]],
  ["a byte order mark", pickle(text("\ufeffa")), "\ufeffa"],
  [
    "bytes",
    pickle("(C\x01aB", u32(1), "b\x8e", u64(1), "c\x96", u64(1), "dt"),
    ["a", "b", "c", "d"].map((c) => Uint8Array.of(c.charCodeAt(0))),
  ],
  ["tuples", pickle("()N\x85NN\x86NNN\x87(t(NNNNtt"), [
    [],
    [null],
    [null, null],
    [null, null, null],
    [],
    [null, null, null, null],
  ]],
  ["lists", pickle("]K\x01a(K\x02K\x03e"), [1, 2, 3]],
  ["dicts", pickle("}K\x01Ns(K\x02NK\x03Nu"), [[1, null], [2, null], [3, null]]],
  ["sets", pickle("\x8f(K\x01\x90(K\x02\x91\x86"), [[1], [2]]],
  ["the memo", pickle("]q\0r", u32(70000), "0h\0j", u32(70000), "\x86"), [[], []]],
  ["the memo's next place", pickle("N\x940K\x01\x94h\0h\x01\x87"), [1, null, 1]],
  ["what is popped", pickle("K\x01(NN1(0N0K\x022\x87"), [1, 2, 2]],
  ["a frame", opcodes("\x80\x04\x95", u64(2), "N."), null],
  ["an OrderedDict", pickle("ccollections\nOrderedDict\n)Rq\0K\x01Ns}b"), [[1, null]]],
  ["a global on the stack", pickle(text("torch"), text("Size"), "\x93K\x02\x85\x85R"), [2]],
  ["a set of protocol 2", pickle("c__builtin__\nset\n](K\x01K\x02e\x85R"), [1, 2]],
];

for (const [what, bytes, value] of MEANINGS) {
  Deno.test(`readPickle() reads ${what}`, () => assert.deepEqual(shown(unpickle(bytes)), value));
}

Deno.test("readPickle() shares what the memo shares, and does not follow what contains itself", () => {
  const shared = unpickle(pickle("]q\0h\0\x86"));
  assert.ok(Array.isArray(shared) && shared[0] === shared[1]);
  const circular = unpickle(pickle("]q\0h\0a"));
  assert.ok(circular instanceof PickleList && circular.items[0] === circular);
});

Deno.test("readPickle() keeps a Namespace's attributes and a tensor's view", () => {
  const namespace = unpickle(pickle("cargparse\nNamespace\n)\x81}", text("heads"), "K\x04sb"));
  assert.ok(namespace instanceof ObjectRecord && namespace.name === "argparse.Namespace");
  assert.deepEqual([...namespace.attributes], [["heads", 4]]);
  const view = unpickle(pickle(tensor({ count: 10, offset: 1, shape: [3, 2], strides: [1, 3] })));
  assert.ok(view instanceof TensorRecord);
  const { storage, type, offset, shape, strides } = view;
  assert.deepEqual([storage.key, storage.byteLength, type.name, offset], ["0", 40, "float32", 1]);
  assert.deepEqual([shape, strides], [[3, 2], [1, 3]]);
});

Deno.test("readPickle() reads a parameter as its tensor, and tensors whose type is an argument", () => {
  const weight = tensor({ count: 2, shape: [2], strides: [1] });
  for (
    const [rebuild, state] of [["_rebuild_parameter", ""], ["_rebuild_parameter_with_state", "}"]] as const
  ) {
    const parameter = unpickle(pickle(`ctorch._utils\n${rebuild}\n(`, weight, `\x88N${state}tR`));
    assert.ok(parameter instanceof TensorRecord && parameter.shape[0] === 2);
  }
  const storage = opcodes(
    "(",
    text("storage"),
    "ctorch.storage\nUntypedStorage\n",
    text("1"),
    text("cpu"),
    "K\x04tQ",
  );
  const rest = "K\0K\x02\x85K\x01\x85\x89Nctorch\n";
  const typed = unpickle(pickle("ctorch._utils\n_rebuild_tensor_v3\n(", storage, rest, "uint16\ntR"));
  assert.ok(typed instanceof TensorRecord && typed.type.name === "uint16" && typed.storage.byteLength === 4);
  const tooMany = pickle("ctorch._utils\n_rebuild_tensor_v3\n(", storage, rest, "uint32\ntR");
  refuses(() => unpickle(tooMany), "reaches to byte 8 of storage 1, which has 4 bytes");
});

const view = { count: 6, shape: [2, 3], strides: [3, 1] };

const MALFORMED: readonly (readonly [what: string, bytes: Uint8Array, ...says: string[]])[] = [
  ["nothing", new Uint8Array(0), "at byte 0 it is cut off"],
  ["a protocol 1 that says so", opcodes("\x80\x01N."), "at byte 0", "is of protocol 1, and not 2 to 5"],
  ["protocol 6", opcodes("\x80\x06N."), "is of protocol 6"],
  ["text", opcodes("(dp0\n."), "at byte 1", "is of protocol 0"],
  ["an integer in other digits", opcodes("I0x10\n."), "at byte 0", "not in decimal digits"],
  ["no STOP", opcodes("\x80\x02N"), "at byte 3 it is cut off"],
  ["STOP without a value", pickle(), "at byte 2 it needs a value"],
  ["STOP with values left", pickle("NN"), "at byte 4", "values left over"],
  ["STOP in a mark", pickle("(N"), "values left over"],
  ["bytes after STOP", opcodes("\x80\x02N.N"), "at byte 3", "stops 1 bytes before its end"],
  ["a cut number", opcodes("\x80\x02J\0"), "at byte 2 it is cut off"],
  ["a cut string", pickle("X", u32(9), "a"), "at byte 2 it is cut off"],
  ["a string of 16 EB", pickle("\x8d", u64(2 ** 60)), "at byte 2", `UNfold reads ${MAX_STRING_BYTES}`],
  ["bytes of 4 GB", pickle("B\xff\xff\xff\xff"), "has a string of 4294967295 bytes"],
  ["an integer of 2 GB", pickle("\x8b", u32(2 ** 31)), "has an integer of 2147483648 bytes"],
  ["a string that is not UTF-8", pickle("\x8c\x01\xff"), "at byte 2", "not UTF-8"],
  ["a frame too large", pickle("\x95", u64(99)), "a frame that reaches past the end"],
  ["an empty stack", pickle("\x86"), "needs values that are not there"],
  ["values below the mark", pickle("N(\x85"), "needs a value that is not there"],
  ["no mark", pickle("Nt"), "needs a mark"],
  ["an unknown memo", pickle("h\x07"), "refers to value 7"],
  ["an item without a value", pickle("}(Nu"), "sets a key without a value"],
  ["an item of a list", pickle("]NNs"), "sets an item of a list of 0"],
  ["an append to a tuple", pickle(")Na"), "appends to a tuple of 0"],
  ["an addition to a list", pickle("](N\x90"), "adds to a list of 0"],
  ["opcode EXT1", pickle("\x82\x01"), "the opcode 0x82"],
  ["a buffer outside", pickle("\x97"), "the opcode 0x97"],
  ["PROTO again", pickle("\x80\x02N"), "at byte 2", "the opcode 0x80"],
  ["a global without an end", pickle("cos"), "a line without an end"],
  ["a global of numbers", pickle("K\x01K\x02\x93"), "names a global by 1 and 2"],
  ["a call of a string", pickle(text("os.system"), ")R"), 'calls "os.system"'],
  ["a call with no tuple", pickle("ctorch\nSize\n]R"), "calls torch.Size with a list"],
  ["a call with keywords of no dict", pickle("cos\nA\n)N\x92"), "with keywords that are no dict"],
  ["a call of a tuple", pickle("))R"), "calls a tuple of 0"],
  ["the state of a list", pickle("]Nb"), "sets the state of a list"],
  ["the state of a class", pickle("cargparse\nNamespace\n}b"), "sets the state of argparse.Namespace"],
  [
    "a global of 2000 characters",
    pickle(text("a".repeat(2000)), text("b"), "\x93"),
    "a global of 2001 characters",
  ],
  ["a persistent id of no storage", pickle(text("0"), "Q"), 'refers to "0"'],
  [
    "a storage of no class",
    pickle("(", text("storage"), "N", text("0"), "NK\x01tQ"),
    "refers to a tuple of 5",
  ],
  [
    "a storage of -1",
    pickle("(", text("storage"), "ctorch\nFloatStorage\n", text("0"), "NJ", u32(-1), "tQ"),
    "refers to",
  ],
  [
    "a storage of 2^53 floats",
    pickle(tensor({ ...view, count: 2 ** 52 })),
    "has a storage of 4503599627370496",
  ],
  ["a tensor of nothing", pickle("ctorch._utils\n_rebuild_tensor_v2\n)R"), "makes a tensor of missing"],
  [
    "a parameter of nothing",
    pickle("ctorch._utils\n_rebuild_parameter\nN\x85R"),
    "makes a parameter of None",
  ],
  [
    "a tensor outside its storage",
    pickle(tensor({ ...view, offset: 1 })),
    "reaches to byte 28",
    "has 24 bytes",
  ],
  ["strides outside the storage", pickle(tensor({ ...view, strides: [1, 3] })), "reaches to byte 32"],
  ["strides beyond 2^53", pickle(tensor({ ...view, strides: [2 ** 52, 2 ** 52] })), "reaches to byte"],
  ["fewer strides than sizes", pickle(tensor({ ...view, strides: [1] })), "offset, shape and strides"],
  [
    "a shape beyond 2^53",
    pickle(tensor({ ...view, shape: [2 ** 40, 2 ** 40], strides: [0, 0] })),
    "makes a tensor of the shape",
  ],
  [
    "65 dimensions",
    pickle(tensor({ count: 1, shape: Array(65).fill(1), strides: Array(65).fill(1) })),
    "offset, shape",
  ],
  [
    "an OrderedDict of a number",
    pickle("ccollections\nOrderedDict\nK\x01\x85R"),
    "makes an OrderedDict of 1",
  ],
];

for (const [what, bytes, ...says] of MALFORMED) {
  Deno.test(`readPickle() refuses ${what}`, () => refuses(() => unpickle(bytes), ...says));
}

Deno.test("readPickle() keeps of a call its name and what it would have been given, by every opcode that calls", () => {
  const calls: readonly (readonly [string, Uint8Array])[] = [
    ["REDUCE", pickle("cos\nsystem\n", text("rm"), "\x85R")],
    ["NEWOBJ", pickle("cos\nsystem\n", text("rm"), "\x85\x81")],
    ["NEWOBJ_EX", pickle("cos\nsystem\n", text("rm"), "\x85}\x92")],
    ["OBJ", pickle("(cos\nsystem\n", text("rm"), "o")],
    ["INST", pickle("(", text("rm"), "ios\nsystem\n")],
    ["STACK_GLOBAL", pickle(text("os"), text("system"), "\x93", text("rm"), "\x85R")],
  ];
  for (const [opcode, bytes] of calls) {
    const record = unpickle(bytes);
    assert.ok(record instanceof ObjectRecord, opcode);
    assert.deepEqual([record.name, record.args], ["os.system", ["rm"]], opcode);
  }
  // A result is called, and has its state set, as inertly as a global.
  const chained = unpickle(
    pickle("c__builtin__\neval\n", text("x"), "\x85R", text("y"), "\x85R}", text("a"), "K\x01sb"),
  );
  assert.ok(chained instanceof ObjectRecord && chained.args[0] === "y");
  assert.deepEqual([...chained.attributes], [["a", 1]]);
});

Deno.test("readPickle() keeps the items of subclasses of lists, sets and dicts", () => {
  const record = unpickle(
    pickle("cyacs.config\nCfgNode\n)\x81", text("LR"), "K\x01s(", text("WD"), "K\x02uK\x03a(K\x04\x90"),
  );
  assert.ok(record instanceof ObjectRecord);
  assert.deepEqual([...record.entries], [["LR", 1], ["WD", 2]]);
  assert.deepEqual(record.items, [3, 4]);
});

Deno.test("readPickle() reads NumPy's numbers, Python 2's strings and OrderedDicts of pairs", () => {
  const dtype = opcodes("cnumpy\ndtype\n", text("f8"), "\x89\x88\x87R");
  const half = opcodes("c_codecs\nencode\n", text("\0\0\0\0\0\0à?"), text("latin1"), "\x86R");
  for (const module of ["numpy.core", "numpy._core"]) {
    assert.equal(unpickle(pickle(`c${module}.multiarray\nscalar\n`, dtype, half, "\x86R")), 0.5);
  }
  assert.deepEqual(unpickle(pickle("U\x01aT", u32(1), "b\x86")), ["a", "b"]);
  assert.deepEqual(shown(unpickle(pickle("ccollections\nOrderedDict\n]](K\x01Nea\x85R"))), [[1, null]]);
});

Deno.test("readPickle() bounds nesting, steps and time", () => {
  const nested = (depth: number) => pickle("(".repeat(depth), "t".repeat(depth));
  unpickle(nested(MAX_DEPTH));
  refuses(() => unpickle(nested(MAX_DEPTH + 1)), `at byte ${2 + MAX_DEPTH}`, `more than ${MAX_DEPTH} deep`);
  const long = opcodes("\x80\x02N", new Uint8Array(MAX_STEPS).fill("2".charCodeAt(0)));
  refuses(() => unpickle(long), `after ${MAX_STEPS} opcodes`);
  // Calls do not copy: a set of the same 100 000 values, 100 000 times.
  const large = opcodes(
    "]q\0(",
    new Uint8Array(100_000).fill("N".charCodeAt(0)),
    "e0c__builtin__\nset\nq\x01",
  );
  assert.ok(unpickle(pickle(large, "0h\x01h\0\x85R".repeat(100_000))) instanceof PickleSet);
  // Each list holds the one before twice: 2^200 values to whoever follows them all, and 200 to the machine.
  const doubled = pickle("]", "q\x000]h\0ah\0a".repeat(200));
  assert.ok(unpickle(doubled) instanceof PickleList);
  assert.equal(unpickle(pickle(size(7))), 7);
});

Deno.test("readPickle() of a damaged pickle is a value or one error", () => {
  const random = new Random(11);
  for (const name of ["wrapped.pt", "protocol5.pt", "fairseq.pt"]) {
    const file = Deno.readFileSync(committed(name));
    // The pickle is the first member: it begins at byte 64, with PROTO, and ends before the next signature.
    const end = file.findIndex((_, i) =>
      i > 64 && file[i] === 0x50 && file[i + 1] === 0x4b && file[i + 2] === 7
    );
    const begin = file.indexOf(0x80, 40);
    const good = file.subarray(begin, end);
    unpickle(good);
    let read = 0;
    for (let at = 0; at < good.length; at++) {
      for (const flip of [1 << random.integer(0, 7), random.integer(1, 255)]) {
        const bad = good.slice();
        bad[at] = bad[at]! ^ flip;
        try {
          unpickle(bad);
          read++;
        } catch (error) {
          assert.ok(error instanceof UnfoldError, `${name}, byte ${at} ^ ${flip}: ${error}`);
        }
      }
    }
    assert.ok(read > 0 && read < 2 * good.length, `${read} of ${2 * good.length} were read`);
  }
});
