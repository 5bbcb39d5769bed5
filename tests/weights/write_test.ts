/** Writing: round trips, the layout on disk, and that nothing half-written is left behind. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { bytesFromNumbers, heldData, type TensorData } from "../../src/ir/data.ts";
import type { StorageType } from "../../src/ir/dtype.ts";
import { openCheckpoint } from "../../src/weights/open.ts";
import { writeSafetensors } from "../../src/weights/write.ts";
import { refuses, withFolder } from "./fixtures.ts";

function data(shape: number[], dtype: StorageType): TensorData {
  const count = shape.reduce((product, size) => product * size, 1);
  const bytes = bytesFromNumbers(Float32Array.from({ length: count }, (_, i) => i - 1), dtype);
  return { dtype, shape, origin: "test", bytes: () => bytes };
}

function listing(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

Deno.test("writeSafetensors() is read back the same, in every type that is read", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    const tensors: [string, TensorData][] = [
      ["10", data([3], "bool")],
      ["2", data([2, 3], "fp16")],
      ['quoted "é" \\', data([3], "bf16")],
      ["long", data([2], "int64")],
      ["__proto__", data([], "int32")],
      ["empty", data([0, 4], "fp32")],
      ["w", data([2, 2], "fp32")],
    ];
    writeSafetensors(path, tensors, { format: "unfold", note: "é" });
    const checkpoint = openCheckpoint(path);
    assert.deepEqual(checkpoint.names(), tensors.map(([name]) => name));
    assert.deepEqual(checkpoint.metadata, { format: "unfold", note: "é" });
    for (const [name, { dtype, shape, bytes }] of tensors) {
      const read = checkpoint.tensor(name);
      assert.equal(read.dtype, dtype);
      assert.deepEqual(read.shape, shape);
      assert.deepEqual(read.bytes(), bytes());
    }
    assert.deepEqual(listing(folder), ["a.safetensors"]);
  });
});

Deno.test("writeSafetensors() begins the data, and each tensor, at a multiple of its element size", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    writeSafetensors(path, [["h", data([3], "fp16")], ["d", data([1], "fp64")], ["s", data([1], "fp32")]]);
    const file = Deno.readFileSync(path);
    const headerByteLength = Number(new DataView(file.buffer).getBigUint64(0, true));
    assert.equal(headerByteLength % 8, 0);
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerByteLength)));
    assert.deepEqual(header, {
      h: { dtype: "F16", shape: [3], data_offsets: [12, 18] },
      d: { dtype: "F64", shape: [1], data_offsets: [0, 8] },
      s: { dtype: "F32", shape: [1], data_offsets: [8, 12] },
    });
  });
});

Deno.test("writeSafetensors() may replace the file it reads from", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    writeSafetensors(path, [["a", data([2], "fp32")], ["b", data([3], "fp32")]]);
    const checkpoint = openCheckpoint(path);
    writeSafetensors(path, ["b", "a"].map((name) => [name, checkpoint.tensor(name)] as const));
    assert.deepEqual(openCheckpoint(path).names(), ["b", "a"]);
    assert.deepEqual(openCheckpoint(path).tensor("b").bytes(), data([3], "fp32").bytes());
  });
});

Deno.test("writeSafetensors() holds one tensor at a time", () => {
  withFolder((folder) => {
    let asked = 0;
    const lazy = (): TensorData => ({
      ...data([1], "fp32"),
      bytes: () => {
        asked++;
        return new Uint8Array(4);
      },
    });
    function* tensors(): Generator<[string, TensorData]> {
      for (const name of ["a", "b", "c"]) {
        assert.equal(asked, 0, "the header needs no bytes");
        yield [name, lazy()];
      }
    }
    writeSafetensors(join(folder, "a.safetensors"), tensors());
    assert.equal(asked, 3);
  });
});

Deno.test("writeSafetensors() leaves the old file and nothing else when a tensor fails", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    writeSafetensors(path, [["a", data([1], "fp32")]]);
    const failing: TensorData = {
      ...data([1], "fp32"),
      bytes: () => {
        throw new Error("no bytes today");
      },
    };
    assert.throws(() => writeSafetensors(path, [["b", failing]]), /no bytes today/);
    const short: TensorData = { ...data([4], "fp32"), bytes: () => new Uint8Array(3) };
    refuses(() => writeSafetensors(path, [["b", short]]), path, 'tensor "b"', "3 bytes", "fp32 [4] takes 16");
    assert.deepEqual(listing(folder), ["a.safetensors"]);
    assert.deepEqual(openCheckpoint(path).names(), ["a"]);
  });
});

Deno.test("writeSafetensors() refuses names it cannot write and places it cannot write to", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    const one = heldData([1], Float32Array.of(1), "test");
    refuses(() => writeSafetensors(path, [["a", one], ["a", one]]), path, '"a" is there twice');
    refuses(
      () => writeSafetensors(path, [["__metadata__", one]]),
      '"__metadata__" is the header\'s own word',
    );
    refuses(() => writeSafetensors(join(folder, "no", "a.safetensors"), []), "cannot be written");
    assert.deepEqual(listing(folder), []);
  });
});
