/** Checkpoints in several files: lazily opened, confined to their folder, and consistent with their index. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { float64Of } from "../../src/ir/data.ts";
import { openCheckpoint } from "../../src/weights/open.ts";
import { fp32, goodFile, refuses, withFolder } from "./fixtures.ts";

const INDEX = "model.safetensors.index.json";

function writeIndex(folder: string, weightMap: Record<string, unknown>): string {
  const path = join(folder, INDEX);
  const index = { metadata: { total_size: 12, format: "pt" }, weight_map: weightMap };
  Deno.writeTextFileSync(path, JSON.stringify(index));
  return path;
}

Deno.test("openCheckpoint() reads a sharded checkpoint by index and by folder", () => {
  withFolder((folder) => {
    const path = writeIndex(folder, { a: "1.safetensors", b: "2.safetensors", c: "1.safetensors" });
    Deno.writeFileSync(join(folder, "1.safetensors"), goodFile({ a: fp32([1], [1]), c: fp32([1], [3]) }));
    Deno.writeFileSync(join(folder, "2.safetensors"), goodFile({ b: fp32([2], [2, 4]) }));
    for (const given of [path, folder]) {
      const checkpoint = openCheckpoint(given);
      assert.equal(checkpoint.path, path);
      assert.deepEqual(checkpoint.names(), ["a", "b", "c"]);
      assert.deepEqual(checkpoint.metadata, { total_size: "12", format: "pt" });
      assert.deepEqual(checkpoint.shapeOf("b"), [2]);
      assert.deepEqual([...float64Of(checkpoint.tensor("b"))], [2, 4]);
      assert.deepEqual([...float64Of(checkpoint.tensor("c"))], [3]);
      assert.equal(checkpoint.has("d"), false);
      refuses(() => checkpoint.tensor("d"), path, 'no tensor "d"');
    }
  });
});

Deno.test("openCheckpoint() opens a shard only when one of its tensors is wanted", () => {
  withFolder((folder) => {
    const path = writeIndex(folder, { a: "1.safetensors", b: "2.safetensors" });
    Deno.writeFileSync(join(folder, "1.safetensors"), goodFile({ a: fp32([1], [1]) }));
    Deno.writeTextFileSync(join(folder, "2.safetensors"), "broken");
    const checkpoint = openCheckpoint(path);
    assert.deepEqual(checkpoint.tensor("a").shape, [1]);
    refuses(() => checkpoint.tensor("b"), "2.safetensors has 6 bytes");
  });
});

Deno.test("openCheckpoint() names missing shards at once", () => {
  withFolder((folder) => {
    const path = writeIndex(folder, { a: "1.safetensors", b: "2.safetensors", c: "3.safetensors" });
    Deno.writeFileSync(join(folder, "1.safetensors"), goodFile({ a: fp32([1], [1]) }));
    refuses(() => openCheckpoint(path), path, "2 of 3 shards", "2.safetensors, 3.safetensors", "Download");
  });
});

Deno.test("openCheckpoint() confines an index to its folder", () => {
  withFolder((folder) => {
    for (
      const shard of [
        "../a.safetensors",
        "/etc/passwd",
        "sub/a.safetensors",
        "..",
        ".",
        "",
        "C:a",
        "a\\b",
        7,
        null,
      ]
    ) {
      const path = writeIndex(folder, { w: shard });
      refuses(() => openCheckpoint(path), path, 'tensor "w" is mapped to', "reads no file outside");
    }
  });
});

Deno.test("openCheckpoint() refuses an index and shards that disagree", () => {
  withFolder((folder) => {
    const shard = join(folder, "1.safetensors");
    Deno.writeFileSync(shard, goodFile({ a: fp32([1], [1]) }));
    const lacks = openCheckpoint(writeIndex(folder, { a: "1.safetensors", b: "1.safetensors" }));
    refuses(() => lacks.tensor("a"), 'tensor "b" is not in 1.safetensors', "not of one save");
    Deno.writeFileSync(shard, goodFile({ a: fp32([1], [1]), x: fp32([1], [1]) }));
    const more = openCheckpoint(writeIndex(folder, { a: "1.safetensors" }));
    refuses(() => more.shapeOf("a"), 'tensor "x" is in 1.safetensors, but not in the index');
    Deno.writeFileSync(join(folder, "2.safetensors"), goodFile({ x: fp32([1], [1]) }));
    const elsewhere = openCheckpoint(writeIndex(folder, { a: "1.safetensors", x: "2.safetensors" }));
    refuses(() => elsewhere.tensor("a"), 'tensor "x" is in 1.safetensors, but in 2.safetensors by the index');
  });
});

Deno.test("openCheckpoint() refuses JSON that is no index", () => {
  withFolder((folder) => {
    const path = join(folder, "config.json");
    Deno.writeTextFileSync(path, '{"architectures":[]}');
    refuses(() => openCheckpoint(path), path, "is not the index", '"weight_map" is missing', INDEX);
    Deno.writeTextFileSync(path, '{"weight_map":["a"]}');
    refuses(() => openCheckpoint(path), '"weight_map" is ["a"]');
    Deno.writeTextFileSync(path, '{"weight_map":{"w":"1","w":"2"}}');
    refuses(() => openCheckpoint(path), 'the index has "w" twice', "byte 23");
    Deno.writeTextFileSync(path, "");
    refuses(() => openCheckpoint(path), "the index is not JSON", "byte 0");
    Deno.writeTextFileSync(path, "[]");
    refuses(() => openCheckpoint(path), "the index is [] and not a JSON object");
  });
});
