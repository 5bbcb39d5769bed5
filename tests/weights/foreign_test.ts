/** What is passed instead of safetensors is recognized by its content, or failing that its name. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../src/weights/open.ts";
import { fp32, goodFile, refuses, withFolder } from "./fixtures.ts";

const PADDING = "\0".repeat(40);

const FOREIGN: readonly (readonly [file: string, content: string, ...says: string[]])[] = [
  ["short.pkl", "\x80\x04N.", "is a pickle that torch.save did not write", "executes no code", "save_file"],
  ["first.pt", "a" + "\0".repeat(256) + "ustar  \0" + PADDING, "is a tar archive", "save_file"],
  ["cut.pt", "PK\x03\x04\0\0\x08\x08archive/data.pkl" + PADDING, "is not a whole zip archive", "cut short"],
  ["model.safetensors", "PK\x03\x04" + PADDING, "is not a whole zip archive"],
  ["empty.zip", "PK\x05\x06" + "\0".repeat(18), "a zip archive that torch.save did not write", "no data.pkl"],
  ["old.bin", "(dp0\n" + PADDING, "a pickle by its name", "save_file"],
  ["a.gguf", "GGUF\x03\0\0\0" + PADDING, "is a GGUF file", "safetensors.torch.save_file"],
  ["a.h5", "\x89HDF\r\n\x1a\n" + PADDING, "is an HDF5 file", "safetensors.numpy.save_file"],
  ["a.model", "\x08\x07\x12\x07pytorch" + PADDING, "is an ONNX model"],
  ["a.onnx", PADDING, "is an ONNX model"],
  ["a.npy", "\x93NUMPY\x01\0" + PADDING, "is a NumPy file"],
  ["a.gz", "\x1f\x8b\x08\0" + PADDING, "gzip"],
  [
    "a.safetensors",
    "version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "git-lfs pointer",
    "git lfs pull",
  ],
  ["page.safetensors", "<!DOCTYPE html><html>" + PADDING, "web page"],
  ["config.safetensors", '{\n  "architectures": ["ViT"] }' + PADDING, "is JSON text", ".index.json"],
];

for (const [name, content, ...says] of FOREIGN) {
  Deno.test(`openCheckpoint() recognizes ${JSON.stringify(content.slice(0, 8))} as ${name}`, () => {
    withFolder((folder) => {
      const path = join(folder, name);
      Deno.writeFileSync(path, Uint8Array.from(content, (character) => character.charCodeAt(0)));
      refuses(() => openCheckpoint(path), path, ...says);
    });
  });
}

Deno.test("openCheckpoint() opens a header whose length reads like a pickle, under any name", () => {
  withFolder((folder) => {
    const path = join(folder, "weights.bin");
    // 0x280 bytes of header: the file begins 80 02, as pickles of protocol 2 do.
    const name = "n".repeat(0x280 - goodFile({ "": fp32([1], [1]) }).length + 12);
    const file = goodFile({ [name]: fp32([1], [1]) });
    assert.deepEqual([...file.subarray(0, 8)], [0x80, 2, 0, 0, 0, 0, 0, 0]);
    Deno.writeFileSync(path, file);
    assert.deepEqual(openCheckpoint(path).names(), [name]);
  });
});
