/** What people give in place of an ONNX file, under its name: each is told for what it is. */
import { readOnnx } from "../../src/onnx/read.ts";
import { refuses, withFolder } from "../support.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);
const text = (value: string) => new TextEncoder().encode(value);

/** What it is, the file, and what its error says. */
const FOREIGN: readonly (readonly [what: string, file: Uint8Array, ...says: string[]])[] = [
  ["a web page", text("<!DOCTYPE html><html>"), "web page", "download"],
  ["a git-lfs pointer", text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"],
  ["a zip archive", text("PK\x03\x04            "), "zip", "unpack"],
  ["ONNX Runtime's format", text("\x20\0\0\0ORTM        "), "ONNX Runtime's own format"],
  ["a pickle", bytes(0x80, 2, 0x7d), "pickle", "--checkpoint"],
  ["a checkpoint of PyTorch", text(`PK\x03\x04${" ".repeat(26)}m/data.pkl`), "zip", "--checkpoint"],
  ["safetensors", text('\x40\0\0\0\0\0\0\0{"w":{}}'), "safetensors", "--checkpoint"],
  ["text", text('ir_version: 9\ngraph { name: "g" }\n'), "is text", "onnx.save()"],
];

for (const [what, file, ...says] of FOREIGN) {
  Deno.test(`readOnnx() tells ${what} from an ONNX file`, () =>
    withFolder(async (folder) => {
      await Deno.writeFile(`${folder}/m.onnx`, file);
      refuses(() => readOnnx(`${folder}/m.onnx`), "m.onnx is", ...says);
    }));
}
