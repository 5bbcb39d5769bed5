/** Opening and reading well-formed checkpoints, and the paths that lead to none. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { typedView } from "../../src/ir/data.ts";
import { openCheckpoint } from "../../src/weights/open.ts";
import { checkpointWeights } from "../../src/weights/source.ts";
import { type FixtureTensor, fp32, goodFile, rawFile, refuses, withFolder } from "./fixtures.ts";

Deno.test("openCheckpoint() reads names, shapes, metadata and values", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    const header =
      '{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[2,10]},' +
      '"h":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},"none":{"dtype":"I64","shape":[0,3],' +
      '"data_offsets":[2,2]}}   ';
    const data = new Uint8Array(10);
    data.set([0xc0, 0x3f]);
    data.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 2);
    Deno.writeFileSync(path, rawFile(header, { data }));

    const checkpoint = openCheckpoint(path);
    assert.equal(checkpoint.path, path);
    assert.deepEqual(checkpoint.metadata, { format: "pt" });
    assert.deepEqual(checkpoint.names(), ["w", "h", "none"]);
    assert.equal(checkpoint.has("w"), true);
    assert.equal(checkpoint.has("toString"), false);
    assert.deepEqual(checkpoint.shapeOf("none"), [0, 3]);

    const w = checkpoint.tensor("w");
    assert.equal(w.dtype, "fp32");
    assert.ok(w.origin.includes(path) && w.origin.includes('"w"'));
    const bytes = w.bytes();
    assert.equal(bytes.byteOffset % 8, 0);
    assert.deepEqual([...typedView(bytes, "fp32") as Float32Array], [1.5, -2]);
    assert.notEqual(w.bytes().buffer, bytes.buffer, "each call reads into its own buffer");
    assert.deepEqual([...checkpoint.tensor("h").bytes()], [0xc0, 0x3f]);
    assert.equal(checkpoint.tensor("h").dtype, "bf16");
    assert.equal(checkpoint.tensor("none").bytes().length, 0);
  });
});

Deno.test("openCheckpoint() accepts a file with no tensors and a file: URL", () => {
  withFolder((folder) => {
    const path = join(folder, "with space.safetensors");
    Deno.writeFileSync(path, rawFile("{}"));
    assert.deepEqual(openCheckpoint(pathToFileURL(path)).names(), []);
    refuses(
      () => openCheckpoint(new URL("https://example.org/a.safetensors")),
      "from disk only",
      "Download it",
    );
  });
});

Deno.test("openCheckpoint() keeps names that objects have opinions about", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    const header = '{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
      '"10":{"dtype":"BOOL","shape":[1],"data_offsets":[5,6]},"2":{"dtype":"BOOL","shape":[1],"data_offsets":[4,5]},' +
      '"\\u00e9\\/":{"dtype":"BOOL","shape":[1],"data_offsets":[6,7]}}';
    Deno.writeFileSync(path, rawFile(header, { data: new Uint8Array(7) }));
    assert.deepEqual(openCheckpoint(path).names(), ["__proto__", "10", "2", "é/"]);
  });
});

Deno.test("tensor() names what is missing and what is near", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    Deno.writeFileSync(path, goodFile({ "norm.weight": fp32([1], [1]), "other": fp32([1], [1]) }));
    const checkpoint = openCheckpoint(path);
    refuses(() => checkpoint.tensor("norm.weigth"), path, 'no tensor "norm.weigth"', "Closest: norm.weight.");
    refuses(() => checkpoint.shapeOf("xyz"), 'no tensor "xyz"');
  });
});

Deno.test("tensor() lists element types it does not read, and refuses them by name", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    const types: Record<string, number> = { F8_E8M0: 1, U16: 2, C64: 8, U64: 8 };
    const tensors: [string, FixtureTensor][] = Object.entries(types).map(([dtype, byteLength]) => [
      `t_${dtype}`,
      { dtype, shape: [3], data: new Uint8Array(3 * byteLength) },
    ]);
    tensors.push(["t_F4", { dtype: "F4", shape: [4], data: new Uint8Array(2) }]);
    Deno.writeFileSync(path, goodFile(Object.fromEntries(tensors)));
    const checkpoint = openCheckpoint(path);
    assert.equal(checkpoint.names().length, tensors.length);
    for (const [name, { dtype }] of tensors) {
      refuses(() => checkpoint.tensor(name), `"${name}"`, path, `element type ${dtype}`, ".float()");
    }
  });
});

Deno.test("bytes() refuses a file that changed after it was opened", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    Deno.writeFileSync(path, goodFile({ w: fp32([2], [1, 2]) }));
    const w = openCheckpoint(path).tensor("w");
    Deno.writeFileSync(path, goodFile({ v: fp32([3], [1, 2, 3]) }));
    refuses(() => w.bytes(), '"w"', "has changed since it was opened");
    Deno.removeSync(path);
    refuses(() => w.bytes(), path, "no such file");
  });
});

Deno.test("openCheckpoint() of a path without a checkpoint says what is there", () => {
  withFolder((folder) => {
    refuses(() => openCheckpoint(join(folder, "none.safetensors")), "none.safetensors: no such file");
    refuses(() => openCheckpoint(folder), folder, "is a directory with none of model.safetensors,", "Check");
    Deno.writeFileSync(join(folder, "vit.pth"), new Uint8Array(0));
    Deno.writeFileSync(join(folder, "vit.safetensors"), rawFile("{}"));
    refuses(() => openCheckpoint(folder), 'Give one of its files: "vit.pth", "vit.safetensors".');
    Deno.mkdirSync(join(folder, "model.safetensors"));
    refuses(() => openCheckpoint(folder), "Give one of its files");
    Deno.removeSync(join(folder, "model.safetensors"));
    Deno.writeFileSync(join(folder, "model.safetensors"), rawFile("{}"));
    Deno.writeFileSync(join(folder, "pytorch_model.bin"), new Uint8Array(0));
    assert.equal(openCheckpoint(folder).path, join(folder, "model.safetensors"));
    Deno.removeSync(join(folder, "model.safetensors"));
    refuses(() => openCheckpoint(folder), "pytorch_model.bin is a pickle by its name", "save_file");
  });
  if (Deno.build.os !== "windows") refuses(() => openCheckpoint("/dev/null"), "is not a regular file");
});

Deno.test({
  name: "openCheckpoint() without the right to read is one answer",
  permissions: { read: false },
  fn: () =>
    refuses(() => openCheckpoint("some.safetensors"), "some.safetensors cannot be read", "--allow-read"),
});

Deno.test({
  name: "openCheckpoint() of a 5 GB file costs neither 5 GB of memory nor of reading",
  ignore: Deno.build.os === "windows", // No sparse files without asking for them.
  fn: () =>
    withFolder((folder) => {
      const path = join(folder, "big.safetensors");
      const middle = 5_000_000_000;
      const header = JSON.stringify({
        first: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
        middle: { dtype: "F32", shape: [1_250_000, 1000], data_offsets: [8, 8 + middle] },
        last: { dtype: "F32", shape: [2], data_offsets: [8 + middle, 16 + middle] },
      });
      const start = 8 + header.length;
      Deno.writeFileSync(path, rawFile(header));
      Deno.truncateSync(path, start + 16 + middle);
      {
        using file = Deno.openSync(path, { write: true });
        file.seekSync(start + 8 + middle, Deno.SeekMode.Start);
        file.writeSync(new Uint8Array(Float32Array.of(7, 8).buffer));
      }

      const before = Deno.memoryUsage().rss;
      const checkpoint = openCheckpoint(path);
      const weights = checkpointWeights(checkpoint);
      const shape = [1_250_000, 1000];
      assert.deepEqual(weights.take("middle", shape, { init: "linear" }).shape, shape);
      const last = weights.take("last", [2], { init: "bias" }).bytes();
      assert.deepEqual([...typedView(last, "fp32") as Float32Array], [7, 8]);
      const growth = Deno.memoryUsage().rss - before;
      assert.ok(growth < 200e6, `memory grew by ${growth} bytes`);
    }),
});

Deno.test("openCheckpoint() takes __metadata__ that is null, as if there were none", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    Deno.writeFileSync(path, rawFile('{"__metadata__":null}'));
    assert.deepEqual(openCheckpoint(path).metadata, {});
  });
});

/** Runs `body` with a file of the tensor `w`, 1, under that name in a fresh folder. */
function withWeights(name: string, body: (folder: string) => void): void {
  withFolder((folder) => {
    Deno.writeFileSync(join(folder, name), goodFile({ w: fp32([1], [1]) }));
    body(folder);
  });
}

for (const name of ["model.safetensors", "pytorch_model.bin", "only_one.safetensors"]) {
  Deno.test(`openCheckpoint() of a folder finds ${name} in it`, () => {
    withWeights(name, (folder) => {
      Deno.writeTextFileSync(join(folder, "config.json"), "{}");
      assert.equal(openCheckpoint(folder).path, join(folder, name));
    });
  });
}

Deno.test("openCheckpoint() of a folder finds an index, and asks which of two files is meant", () => {
  withWeights("1.safetensors", (folder) => {
    Deno.writeFileSync(join(folder, "2.safetensors"), goodFile({ v: fp32([1], [2]) }));
    refuses(() => openCheckpoint(folder), 'Give one of its files: "1.safetensors", "2.safetensors"');
    const index = { weight_map: { w: "1.safetensors", v: "2.safetensors" } };
    Deno.writeTextFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
    assert.deepEqual(openCheckpoint(folder).names(), ["w", "v"]);
  });
});

Deno.test("openCheckpoint() of a distributed checkpoint says how to make one file of it", () => {
  withFolder((folder) => {
    Deno.writeTextFileSync(join(folder, "__0_0.distcp"), "");
    refuses(() => openCheckpoint(folder), "distributed checkpoint", "format_utils dcp_to_torch");
  });
});

Deno.test("openCheckpoint() of a Hugging Face cache follows its links to the revision that main is", () => {
  withFolder((folder) => {
    const cache = join(folder, "models--owner--name");
    const snapshot = (revision: string) => join(cache, "snapshots", revision);
    const blob = join(cache, "blobs", "6f");
    Deno.mkdirSync(join(cache, "blobs"), { recursive: true });
    Deno.mkdirSync(snapshot("old"), { recursive: true });
    Deno.mkdirSync(snapshot("new"), { recursive: true });
    Deno.writeFileSync(blob, goodFile({ w: fp32([1], [1]) }));
    Deno.symlinkSync(join("..", "..", "blobs", "6f"), join(snapshot("new"), "model.safetensors"));
    refuses(() => openCheckpoint(cache), "several revisions", '"new", "old"');
    Deno.mkdirSync(join(cache, "refs"));
    Deno.writeTextFileSync(join(cache, "refs", "main"), "new\n");
    const checkpoint = openCheckpoint(cache);
    assert.equal(checkpoint.path, join(snapshot("new"), "model.safetensors"));
    assert.equal(checkpoint.tensor("w").bytes().length, 4);
  });
});
