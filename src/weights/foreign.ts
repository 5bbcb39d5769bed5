/**
 * Recognizes what people pass instead of a checkpoint that UNfold reads, and says how to turn it into one.
 * Consulted only about files that do not begin as safetensors do (a header of 640 bytes begins with the same
 * two bytes as a pickle) and about zip archives. Leaves out reading any of these: UNfold executes no code
 * from a checkpoint.
 */
import { basename } from "node:path";
import { listed } from "../text.ts";

/** How many bytes of the file's beginning `describeForeign` wants to see. */
export const SNIFF_BYTES = 512;

/** What the file at `path` that begins with `head` is, and what to do with it; null when unknown. */
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
  if (text.startsWith("ustar", 257)) {
    return pickled(path, "a tar archive, as PyTorch wrote before 0.1.10 or a program packed");
  }
  // Opcode PROTO and its argument, from protocol 2 on; before that nothing but the name tells.
  if (text.startsWith("\x80") && head[1]! >= 2 && head[1]! <= 5) {
    return pickled(path, "a pickle that torch.save did not write, or one of another protocol than its own");
  }
  if (PICKLED.has(extension)) {
    return pickled(path, "a pickle by its name, but does not begin as torch.save's files do");
  }
  if (/^\s*\{\s*["}]/.test(text)) {
    return "is JSON text. Give the checkpoint's file, or an index that ends in .safetensors.index.json.";
  }
  return null;
}

/**
 * ONNX has no magic number; its writers begin a ModelProto with field 1, `ir_version` (a small varint),
 * followed by a string or message of a field from 2 to 8, or field 5 as a varint.
 */
function isModelProto([tag, version = 0, next = 0]: Uint8Array): boolean {
  return tag === 0x08 && version >= 1 && version <= 32 &&
    [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42].includes(next);
}

const PICKLED: ReadonlySet<string> = new Set([".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"]);

const FROM_SOURCE = "Save the weights it was exported from with safetensors.torch.save_file().";

/** Whether a file begins as a zip archive; a safetensors header of 67 MB has a brace after its length. */
export function isZip([p, k, three, four, , , , , eighth]: Uint8Array): boolean {
  const member = three === 3 && four === 4 && eighth !== "{".charCodeAt(0);
  const empty = three === 5 && four === 6;
  return p === "P".charCodeAt(0) && k === "K".charCodeAt(0) && (member || empty);
}

/** What the zip archive at `path` with those members is, if `torch.save` did not write it; else null. */
export function describeArchive(members: readonly string[], path: string): string | null {
  if (members.some((name) => /^[^/]+\/(constants\.pkl$|code\/)/.test(name))) {
    const name = basename(path);
    return `is a TorchScript archive, a program and its weights. ${NO_CODE}; save its weights with Python:\n` +
      `  import torch, safetensors.torch as st; m = torch.jit.load(${
        JSON.stringify(name)
      }, map_location="cpu"); ` +
      `st.save_file({k: v.contiguous().clone() for k, v in m.state_dict().items()}, ${
        JSON.stringify(safetensorsName(name))
      })`;
  }
  if (members.some((name) => /^[^/]+\/data\.pkl$/.test(name))) return null;
  if (members.length > 0 && members.every((name) => name.endsWith(".npy"))) {
    return "is a NumPy file. Save the arrays with safetensors.numpy.save_file().";
  }
  const packed = members.filter((name) => /\.(safetensors|pth|pt|bin|ckpt)$/i.test(name));
  if (packed.length > 0) {
    return `is a zip archive that holds ${listed(packed, 3)}: unpack it, and give that file.`;
  }
  return "is a zip archive that torch.save did not write: it has no data.pkl. " +
    "Give the file of a state dict, or save one with safetensors.torch.save_file().";
}

const NO_CODE = "UNfold executes no code from a checkpoint";

/** Why another pickle is refused, and the Python that saves what it holds. */
function pickled(path: string, kind: string): string {
  const name = basename(path);
  return `is ${kind}. ${NO_CODE}; where you trust the file, load it with the program that wrote it, and save its tensors:\n` +
    `  from safetensors.torch import save_file; ` +
    `save_file({k: v.contiguous().clone() for k, v in state_dict.items()}, ${
      JSON.stringify(safetensorsName(name))
    })`;
}

function safetensorsName(name: string): string {
  return name.replace(/\.[A-Za-z0-9]+$/, "") + ".safetensors";
}
