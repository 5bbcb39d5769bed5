/**
 * Recognizes what people pass instead of a safetensors file and says how to turn it into one. Consulted only about
 * files that do not begin as safetensors do: a header of 640 bytes begins with the same two bytes as a pickle.
 * Leaves out reading any of these: UNfold executes no code from a checkpoint, and a pickle is code.
 */
import { basename } from "node:path";

/** How many bytes of the file's beginning `describeForeign` wants to see. */
export const SNIFF_BYTES = 512;

/** What the file at `path` that begins with `head` is, and what to do about it; null when nothing is recognized. */
export function describeForeign(head: Uint8Array, path: string): string | null {
  const text = Array.from(head.subarray(0, SNIFF_BYTES), (byte) => String.fromCharCode(byte)).join("");
  const extension = /\.[a-z0-9]+$/i.exec(path)?.[0].toLowerCase() ?? "";
  if (text.startsWith("version https://git-lfs")) {
    return "is a git-lfs pointer, not the file it points to: run `git lfs pull` beside it, or download the file.";
  }
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) {
    return "is a web page, such as a failed download leaves: download the file again.";
  }
  if (text.startsWith("GGUF")) return `is a GGUF file. ${FROM_SOURCE}`;
  if (text.startsWith("\x89HDF\r\n\x1a\n")) {
    return `is an HDF5 file (Keras, TensorFlow). Save the weights with safetensors.numpy.save_file().`;
  }
  if (extension === ".onnx" || isModelProto(head)) {
    return `is an ONNX model. ${FROM_SOURCE}`;
  }
  if (text.startsWith("\x93NUMPY") || extension === ".npz") {
    return "is a NumPy file. Save the arrays with safetensors.numpy.save_file().";
  }
  if (text.startsWith("\x1f\x8b")) return "is compressed with gzip: unpack it first.";
  if (text.startsWith("PK")) return pickled(path, "a zip archive, as PyTorch's .pt, .pth and .bin are");
  // Opcode PROTO and its argument, from protocol 2 on; before that nothing but the name tells.
  if (text.startsWith("\x80") && head[1]! >= 2 && head[1]! <= 5) return pickled(path, "a pickle");
  if (PICKLED.has(extension)) return pickled(path, "a pickle by its name");
  if (/^\s*\{\s*["}]/.test(text)) {
    return "is JSON text. Give the .safetensors file, or an index that ends in .safetensors.index.json.";
  }
  return null;
}

/**
 * ONNX has no magic number; its writers begin a ModelProto with field 1, `ir_version` (a small varint), followed by a
 * string or message of a field from 2 to 8, or field 5 as a varint.
 */
function isModelProto([tag, version = 0, next = 0]: Uint8Array): boolean {
  return tag === 0x08 && version >= 1 && version <= 32 &&
    [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42].includes(next);
}

const PICKLED: ReadonlySet<string> = new Set([".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"]);

const FROM_SOURCE = "Save the weights it was exported from with safetensors.torch.save_file().";

/** Why a pickled checkpoint is refused, and the Python that converts it. */
export function pickled(path: string, kind: string): string {
  const name = basename(path);
  const target = name.replace(/\.[A-Za-z0-9]+$/, "") + ".safetensors";
  return `is ${kind}. UNfold executes no code from a checkpoint; convert it once with Python ` +
    `("state_dict" being the key under which the weights lie, if they lie under one):\n` +
    `  import torch, safetensors.torch as st; ` +
    `d = torch.load(${JSON.stringify(name)}, map_location="cpu", weights_only=True)\n` +
    `  st.save_file({k: v.contiguous().clone() for k, v in d.get("state_dict", d).items() if torch.is_tensor(v)}, ` +
    `${JSON.stringify(target)})`;
}
