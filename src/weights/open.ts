/**
 * The way into a checkpoint on disk: one file (safetensors, or what `torch.save` writes), the index of a sharded one, or
 * the folder that holds either. What is opened is checked whole (names, types, ranges) and read not at all until a
 * tensor's bytes are asked for. Nothing of a checkpoint is executed. Leaves out everything about downloads.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UnfoldError } from "../errors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { openForReading, readRange, unreadable } from "./file.ts";
import { isZip } from "./foreign.ts";
import { openPytorch } from "./pytorch.ts";
import { isLegacy, openLegacy } from "./pytorch_legacy.ts";
import type { OpenOptions } from "./pytorch_tensors.ts";
import { openSafetensors } from "./safetensors.ts";
import { openSharded } from "./sharded.ts";

/** What a folder is searched for, in this order: the names that Hugging Face's libraries give. */
const FOLDER_NAMES = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
] as const;

/**
 * Opens a checkpoint: a safetensors file or a zip file of PyTorch's, told by their content; an index that ends in
 * `.json`; or a folder with `model.safetensors`, `pytorch_model.bin` or the index of either (the first that is there, and
 * safetensors first). Needs `--allow-read`.
 *
 * ```ts ignore
 * const checkpoint = openCheckpoint("vit/model.safetensors");
 * const weight = checkpoint.tensor("head.weight"); // nothing is read yet
 * const bytes = weight.bytes(); // its range of the file, and no more
 * ```
 *
 * @throws UnfoldError if there is no such checkpoint, it is malformed, or it asks for code to be run: the file, the
 * tensor, the byte.
 */
export function openCheckpoint(path: string | URL, options: OpenOptions = {}): Checkpoint {
  const file = pathOf(path);
  return isDirectory(file) ? openFolder(file, options) : openPath(file, options);
}

/** A path as given, or that of a `file:` URL. */
export function pathOf(path: string | URL): string {
  if (typeof path === "string") return path;
  if (path.protocol === "file:") return fileURLToPath(path);
  throw new UnfoldError(
    `${path.href}: UNfold reads checkpoints from disk only. Download it and give its path.`,
  );
}

function openPath(path: string, options: OpenOptions): Checkpoint {
  return path.endsWith(".json")
    ? openSharded(path, (shard) => openFile(shard, options))
    : openFile(path, options);
}

function openFile(path: string, options: OpenOptions): Checkpoint {
  const head = beginning(path);
  if (isZip(head)) return openPytorch(path, options);
  if (isLegacy(head)) return openLegacy(path, options);
  if (options.state === undefined) return openSafetensors(path);
  throw new UnfoldError(`${path} has but one state dict, as safetensors files do: leave out --state`);
}

function beginning(path: string): Uint8Array {
  using file = openForReading(path);
  const byteLength = Math.min(16, file.statSync().size);
  return readRange(file, { origin: path, begin: 0, byteLength });
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    throw unreadable(error, path);
  }
}

function openFolder(folder: string, options: OpenOptions): Checkpoint {
  let files: string[];
  try {
    files = [...Deno.readDirSync(folder)].filter((entry) => !entry.isDirectory).map(({ name }) => name)
      .sort();
  } catch (error) {
    throw unreadable(error, folder);
  }
  const found = FOLDER_NAMES.find((name) => files.includes(name));
  if (found !== undefined) return openPath(join(folder, found), options);
  const others = files.filter((name) => /\.(safetensors|pt|pth|bin)$/.test(name));
  const advice = others.length === 0
    ? "Check the path."
    : `Give one of its files: ${others.slice(0, 5).join(", ")}${others.length > 5 ? ", ..." : ""}.`;
  throw new UnfoldError(`${folder} is a directory with none of ${FOLDER_NAMES.join(", ")}. ${advice}`);
}
