/**
 * Files of `torch.save`: read lazily and to the last bit, whatever view of its storage a tensor is; what else
 * is in them is inert or refused. The committed files are `make_pytorch_files.py`'s, beside safetensors of
 * the same values.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UnfoldError } from "../../src/errors.ts";
import { float64Of, typedView } from "../../src/ir/data.ts";
import { type Checkpoint, checkpointWeights, openCheckpoint } from "../../src/weights/mod.ts";
import { Random } from "../support.ts";
import { fp32, goodFile, refuses, withFolder } from "./fixtures.ts";
import { committed, members, opcodes, pickle, tensor, text, writeZip } from "./pytorch_files.ts";

const UNREAD = ["int16"];

/** Each tensor of `checkpoint` has the bytes of the one in safetensors. */
function assertSame(checkpoint: Checkpoint, reference: Checkpoint): void {
  const sorted = (names: readonly string[]) => names.toSorted();
  assert.deepEqual(sorted(checkpoint.names()), sorted(reference.names()));
  for (const name of checkpoint.names().filter((name) => !UNREAD.includes(name))) {
    const [read, expected] = [checkpoint.tensor(name), reference.tensor(name)];
    assert.equal(read.dtype, expected.dtype, name);
    assert.deepEqual(read.shape, expected.shape, name);
    assert.deepEqual(checkpoint.shapeOf(name), expected.shape, name);
    const bytes = read.bytes();
    assert.equal(bytes.byteOffset % 8, 0);
    assert.deepEqual(bytes, expected.bytes(), name);
  }
}

for (const name of ["plain.pt", "protocol5.pt"]) {
  Deno.test(`openCheckpoint() reads every type and view of ${name} as safetensors has them`, () => {
    const checkpoint = openCheckpoint(committed(name));
    assertSame(checkpoint, openCheckpoint(committed("plain.safetensors")));
    assert.deepEqual(checkpoint.metadata, {});
    assert.equal(checkpoint.names()[0], "base");
    assert.ok(checkpoint.has("é") && !checkpoint.has("toString"));
    assert.ok(checkpoint.tensor("row").origin.includes(`"row" of ${checkpoint.path}`));
    refuses(() => checkpoint.tensor("transpose"), 'no tensor "transpose"', "Closest: transposed");
    for (const type of UNREAD) {
      assert.deepEqual(checkpoint.shapeOf(type), [2]);
      refuses(() => checkpoint.tensor(type), `"${type}"`, `element type ${type}, only float64`, ".float()");
    }
  });
}

Deno.test("openCheckpoint() takes the averaged weights out of a training checkpoint, and keeps its arguments", () => {
  const checkpoint = openCheckpoint(committed("wrapped.pt"));
  assertSame(checkpoint, openCheckpoint(committed("state_dict_ema.safetensors")));
  assert.deepEqual(checkpoint.stateDict, { key: "state_dict_ema", others: ["state_dict"] });
  assert.deepEqual(checkpoint.training, {
    args: { model: "vit", lr: 5e-4, betas: [0.9, 0.99], seed: null, amp: true, device: "cpu" },
    epoch: 3,
    arch: "vit",
    metric: 81.5,
    best: 2,
  });
  for (
    const [state, reference] of [["model", "state_dict"], ["ema", "state_dict_ema"], [
      "state_dict",
      "state_dict",
    ]] as const
  ) {
    assertSame(
      openCheckpoint(committed("wrapped.pt"), { state }),
      openCheckpoint(committed(`${reference}.safetensors`)),
    );
  }
  refuses(
    () => openCheckpoint(committed("wrapped.pt"), { state: "teacher" }),
    "no state dict for --state teacher",
    '"state_dict" (7 tensors), "state_dict_ema" (7 tensors)',
  );
  refuses(() => openCheckpoint(committed("plain.safetensors"), { state: "ema" }), "leave out --state");
});

Deno.test("openCheckpoint() reads fairseq's file, with integer buffers whether averaged or not", () => {
  const checkpoint = openCheckpoint(committed("fairseq.pt"));
  assert.deepEqual(checkpoint.stateDict, { key: "model", others: [] });
  assert.deepEqual(checkpoint.training["cfg"], {
    model: { arch: "transformer", decoder_attention_heads: 4, decoder_layers: 2, dropout: 0.3 },
    task: { source_lang: "de", target_lang: "en" },
  });
  const steps = [0, 1].flatMap((layer) =>
    ["iters", "num_batches_tracked"].map((name) => checkpoint.tensor(`encoder.layers.${layer}.norm.${name}`))
  );
  assert.deepEqual(steps.map(({ dtype, shape }) => `${dtype} [${shape}]`), [
    "int64 [1]",
    "int64 []",
    "fp32 [1]",
    "fp32 []",
  ]);
  assert.deepEqual(steps.map((step) => [...float64Of(step)]), [[4000], [4000], [4000], [4000]]);

  const weights = checkpointWeights(checkpoint, {
    ignore: [/\.iters$/, /\.num_batches_tracked$/, /\.version$/],
  });
  for (const layer of [0, 1]) {
    const gain = weights.take(`encoder.layers.${layer}.norm.weight`, [4], { init: "gain" });
    assert.equal(float64Of(gain).length, 4);
  }
  assert.deepEqual(weights.unused(), []);
  const steps0 = "encoder.layers.0.norm.iters";
  refuses(() => weights.take(steps0, [1], { init: "gain" }), steps0, "is int64", "must be floating-point");
});

Deno.test("openCheckpoint() reads the weights beside code, and runs none", () => {
  const checkpoint = openCheckpoint(committed("payload.pt"));
  assert.deepEqual([...float64Of(checkpoint.tensor("w"))], [1, 1]);
  assert.throws(() => Deno.statSync("executed"), Deno.errors.NotFound);
});

Deno.test("openCheckpoint() says what the files of PyTorch are that it does not read", () => {
  refuses(
    () => openCheckpoint(committed("script.pt")),
    "is a TorchScript archive",
    "executes no code",
    "jit.load",
  );
  withFolder((folder) => {
    const path = join(folder, "a.npz");
    writeZip(path, [{ name: "a.npy", bytes: new Uint8Array(8) }]);
    refuses(() => openCheckpoint(path), "is a NumPy file");
    writeZip(path, [{ name: "run/best.pth", bytes: new Uint8Array(8) }]);
    refuses(() => openCheckpoint(path), 'holds "run/best.pth": unpack it');
    writeZip(path, [{ name: "config.json", bytes: new Uint8Array(8) }]);
    refuses(() => openCheckpoint(path), "torch.save did not write", "no data.pkl");
  });
});

Deno.test("openCheckpoint() reads a sharded checkpoint of PyTorch's by index and by folder", () => {
  withFolder((folder) => {
    const [one, two] = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"] as const;
    for (const name of [one, two]) Deno.copyFileSync(committed(name), join(folder, name));
    const path = join(folder, "pytorch_model.bin.index.json");
    Deno.writeTextFileSync(path, JSON.stringify({ weight_map: { a: one, b: two } }));
    for (const given of [path, folder]) {
      const checkpoint = openCheckpoint(given);
      assert.equal(checkpoint.path, path);
      assert.deepEqual([...float64Of(checkpoint.tensor("a"))], [0, 1, 2]);
      assert.deepEqual([...float64Of(checkpoint.tensor("b"))], [0, 2, 1, 3]);
    }
    Deno.copyFileSync(committed("plain.pt"), join(folder, "pytorch_model.bin"));
    assert.equal(openCheckpoint(folder).path, join(folder, "pytorch_model.bin"));
    Deno.writeFileSync(join(folder, "model.safetensors"), goodFile({ a: fp32([1], [1]) }));
    assert.deepEqual(openCheckpoint(folder).names(), ["a"]);
  });
});

const TWO = tensor({ count: 2, shape: [2], strides: [1] });
const STATE = pickle("}", text("w"), TWO, "s");
const STORAGE = { 0: new Uint8Array(Float32Array.of(1.5, -2).buffer) };

/** Runs `body` with the path of an archive of those members. */
function withZip(content: Parameters<typeof writeZip>[1], body: (path: string) => void, zip64 = false): void {
  withFolder((folder) => {
    const path = join(folder, "a.pt");
    writeZip(path, content, { zip64 });
    body(path);
  });
}

for (const zip64 of [false, true]) {
  Deno.test(`openCheckpoint() reads ${zip64 ? "zip64" : "zip"} directories`, () => {
    withZip(members(STATE, STORAGE), (path) => {
      const checkpoint = openCheckpoint(path);
      assert.deepEqual([...float64Of(checkpoint.tensor("w"))], [1.5, -2]);
      Deno.writeFileSync(path, new Uint8Array(3));
      refuses(() => checkpoint.tensor("w").bytes(), '"w"', "has changed since it was opened");
    }, zip64);
  });
}

Deno.test({
  name: "openCheckpoint() of a 5 GB file costs neither 5 GB of memory nor of reading",
  ignore: Deno.build.os === "windows", // No sparse files without asking for them.
  fn: () => {
    const [count, holeBytes] = [1_250_000_000, 5_000_000_000 - 8];
    const wide = { count, shape: [1_250_000, 1000], strides: [1000, 1] };
    const last = { count, offset: 1, shape: [1], strides: [1] };
    const state = pickle(
      "}(",
      text("wide"),
      tensor(wide),
      text("last"),
      tensor({ ...last, key: "1", count: 2 }),
      "u",
    );
    const [first, ...rest] = members(state, { ...STORAGE, 1: STORAGE[0] });
    const content = [
      first!,
      ...rest.map((each) => each.name.endsWith("data/0") ? { ...each, holeBytes } : each),
    ];
    withZip(content, (path) => {
      assert.ok(Deno.statSync(path).size > 2 ** 32);
      const before = Deno.memoryUsage().rss;
      const checkpoint = openCheckpoint(path);
      assert.deepEqual(checkpoint.tensor("wide").shape, [1_250_000, 1000]);
      assert.deepEqual([...float64Of(checkpoint.tensor("last"))], [-2]);
      const growth = Deno.memoryUsage().rss - before;
      assert.ok(growth < 200e6, `memory grew by ${growth} bytes`);
    }, true);
  },
});

Deno.test("bytes() reads a tensor's part of a large storage, and no more", () => {
  const storage = new Uint8Array(Float32Array.from({ length: 64 }, (_, i) => i).buffer);
  const slice = tensor({ count: 64, offset: 2, shape: [3, 2], strides: [1, 8] });
  withZip(members(pickle("}", text("w"), slice, "s"), { 0: storage }), (path) => {
    const bytes = openCheckpoint(path).tensor("w").bytes();
    assert.deepEqual([...typedView(bytes, "fp32") as Float32Array], [2, 10, 3, 11, 4, 12]);
  });
});

const BAD: readonly (readonly [what: string, content: Parameters<typeof writeZip>[1], ...says: string[]])[] =
  [
    [
      "a compressed pickle",
      members(STATE).map((each) => ({ ...each, method: each.name.endsWith("pkl") ? 8 : 0 })),
      "data.pkl is compressed",
    ],
    [
      "an encrypted member",
      members(STATE, STORAGE).map((each) => ({ ...each, flags: 1 })),
      "an encrypted member",
    ],
    [
      "a compressed storage",
      members(STATE, STORAGE).map((each) => ({ ...each, method: each.name.endsWith("/0") ? 8 : 0 })),
      "archive/data/0 is compressed",
    ],
    [
      "a pickle without its checksum",
      members(STATE, STORAGE).map((each) => ({ ...each, crc32: 1 })),
      "checksum",
    ],
    ["a missing storage", members(STATE), "no member archive/data/0"],
    ["a short storage", members(STATE, { 0: new Uint8Array(4) }), '"w"', "8 bytes by the pickle", "has 4"],
    [
      "big-endian numbers",
      members(STATE, STORAGE).map((each) =>
        each.name.endsWith("order") ? { ...each, bytes: opcodes("big") } : each
      ),
      'byteorder is "big"',
    ],
    [
      "a version to come",
      members(STATE, STORAGE).map((each) =>
        each.name.endsWith("version") ? { ...each, bytes: opcodes("99\n") } : each
      ),
      'version is "99"',
    ],
    ["two pickles", [...members(STATE), { name: "b/data.pkl", bytes: STATE }], "more than one data.pkl"],
    ["a member twice", [...members(STATE), ...members(STATE)], "two members named archive/data.pkl"],
    [
      "a pickle that stops",
      members(opcodes("\x80\x02}")),
      "at byte 3, archive/data.pkl is cut off",
      "copy it again",
    ],
    ["a tensor alone", members(pickle(TWO), STORAGE), "holds a tensor and not a state dict"],
    ["a list", members(pickle("]")), "holds a list of 0"],
    [
      "no tensors",
      members(pickle("}(", text("net"), "}", text("w"), "K\x01s", text("epoch"), "K\x03u")),
      "holds no tensors under names",
      '"net" (a dict of 1), "epoch" (3)',
    ],
    [
      "two state dicts without a known key",
      members(
        pickle("}(", text("left"), "}", text("w"), TWO, "s", text("right"), "}", text("w"), TWO, "su"),
        STORAGE,
      ),
      'several state dicts, "left" (1 tensors), "right" (1 tensors): say which with --state',
    ],
    [
      "a quantized tensor",
      members(pickle("}(", text("v"), TWO, text("w"), "ctorch._utils\n_rebuild_qtensor\n)Ru"), STORAGE),
      'has "w" as an object of torch._utils._rebuild_qtensor',
      ".dequantize()",
    ],
  ];

for (const [what, content, ...says] of BAD) {
  Deno.test(`openCheckpoint() refuses ${what} in a zip archive`, () => {
    withZip(content, (path) => refuses(() => openCheckpoint(path), path, ...says));
  });
}

Deno.test("bytes() refuses a storage without its checksum, unless PyTorch was told to write none", () => {
  const storage = (crc32: number) =>
    members(STATE, STORAGE).map((each) => each.name.endsWith("/0") ? { ...each, crc32 } : each);
  withZip(storage(1), (path) => {
    const w = openCheckpoint(path).tensor("w");
    refuses(() => w.bytes(), '"w"', "archive/data/0 does not have its checksum");
  });
  withZip(storage(0), (path) => assert.equal(openCheckpoint(path).tensor("w").bytes().length, 8));
});

Deno.test("openCheckpoint() refuses a directory that places a member outside the file, before its bytes are wanted", () => {
  withZip(members(STATE, STORAGE), (path) => {
    const file = Deno.readFileSync(path);
    const name = new TextDecoder("latin1").decode(file).lastIndexOf("archive/data/0");
    // The offset of the local header stands right before the name in the directory's entry.
    new DataView(file.buffer).setUint32(name - 4, file.length - 30, true);
    Deno.writeFileSync(path, file);
    refuses(() => openCheckpoint(path), "archive/data/0 of 8 bytes", "does not lie in the file");
    new DataView(file.buffer).setUint32(name - 4, 1, true);
    Deno.writeFileSync(path, file);
    refuses(() => openCheckpoint(path).tensor("w").bytes(), '"w"', "archive/data/0 does not begin at byte 1");
  });
});

Deno.test("openCheckpoint() prefers wrappers in their order, and bounds a configuration that refers to itself", () => {
  const dict = opcodes("}", text("w"), TWO, "s");
  const wrappers = ["weights", "module", "model"].flatMap((key) => [text(key), dict]);
  const config = opcodes(text("config"), "}q\x01(", text("heads"), "K\x08", text("deep"), "h\x01u");
  withZip(members(pickle("}(", ...wrappers, config, "u"), STORAGE), (path) => {
    const { stateDict, training } = openCheckpoint(path);
    assert.deepEqual(stateDict, { key: "model", others: ["weights", "module"] });
    const text = JSON.stringify(training);
    assert.ok(text.startsWith('{"config":{"heads":8,"deep":{"heads":8,"deep":{'));
    assert.ok(text.length < 1000);
  });
});

Deno.test("openCheckpoint() reads a state dict that holds more than tensors", () => {
  const extra = pickle("}(", text("w"), TWO, text("head._extra_state"), "N", text("_version"), "K\x02u");
  withZip(members(extra, STORAGE), (path) => assert.deepEqual(openCheckpoint(path).names(), ["w"]));
});

/** What opening and reading everything gives: a checkpoint, or one error for the user. */
function readAll(path: string): "read" | "refused" {
  try {
    const checkpoint = openCheckpoint(path);
    for (const name of checkpoint.names()) {
      if (!UNREAD.includes(name)) checkpoint.tensor(name).bytes();
    }
    return "read";
  } catch (error) {
    assert.ok(error instanceof UnfoldError, String(error));
    return "refused";
  }
}

Deno.test("openCheckpoint() refuses a file that is cut short anywhere", () => {
  const good = Deno.readFileSync(committed("fairseq.pt"));
  withFolder((folder) => {
    const path = join(folder, "cut.pt");
    for (let length = 0; length < good.length; length += 7) {
      Deno.writeFileSync(path, good.subarray(0, length));
      assert.equal(readAll(path), "refused", `${length} bytes`);
    }
  });
});

Deno.test("openCheckpoint() of a damaged file is a checkpoint or one error, whichever byte is wrong", () => {
  const random = new Random(7);
  withFolder((folder) => {
    const path = join(folder, "bad.pt");
    for (const zip64 of [false, true]) {
      // Without checksums, so that what is damaged reaches the pickle machine.
      writeZip(path, members(STATE, STORAGE).map((each) => ({ ...each, crc32: 0 })), { zip64 });
      const good = Deno.readFileSync(path);
      let read = 0;
      for (let at = 0; at < good.length; at++) {
        const bad = good.slice();
        bad[at] = bad[at]! ^ random.integer(1, 255);
        Deno.writeFileSync(path, bad);
        if (readAll(path) === "read") read++;
      }
      assert.ok(read > 0 && read < good.length, `${read} of ${good.length} were read`);
    }
  });
});
