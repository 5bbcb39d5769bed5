/**
 * The way into a checkpoint on disk: one `.safetensors` file, the index of a sharded one, or the folder that holds
 * either. What is opened is checked whole (names, types, ranges) and read not at all until a tensor's bytes are asked
 * for. Leaves out every format that is code when it is loaded, and everything about downloads.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UnfoldError } from "../errors.ts";
import { type Checkpoint, openFile, unreadable } from "./file.ts";
import { pickled } from "./foreign.ts";
import { INDEX_NAME, openSharded } from "./sharded.ts";

export type { Checkpoint } from "./file.ts";

const FILE_NAME = "model.safetensors";

/**
 * Opens a checkpoint: a safetensors file, an index that ends in `.json`, or a folder with `model.safetensors` or
 * `model.safetensors.index.json` (the first of the two, if both are there). Needs `--allow-read`.
 *
 * ```ts ignore
 * const checkpoint = openSafetensors("vit/model.safetensors");
 * const weight = checkpoint.tensor("head.weight"); // nothing is read yet
 * const bytes = weight.bytes(); // its range of the file, and no more
 * ```
 *
 * @throws UnfoldError if there is no such checkpoint or it is malformed: the file, the tensor, the byte.
 */
export function openSafetensors(path: string | URL): Checkpoint {
  const file = pathOf(path);
  if (isDirectory(file)) return openFolder(file);
  return file.endsWith(".json") ? openSharded(file) : openFile(file);
}

/** A path as given, or that of a `file:` URL. */
export function pathOf(path: string | URL): string {
  if (typeof path === "string") return path;
  if (path.protocol === "file:") return fileURLToPath(path);
  throw new UnfoldError(
    `${path.href}: UNfold reads checkpoints from disk only. Download it and give its path.`,
  );
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    throw unreadable(error, path);
  }
}

function openFolder(folder: string): Checkpoint {
  let files: string[];
  try {
    files = [...Deno.readDirSync(folder)].filter((entry) => !entry.isDirectory).map(({ name }) => name)
      .sort();
  } catch (error) {
    throw unreadable(error, folder);
  }
  if (files.includes(FILE_NAME)) return openFile(join(folder, FILE_NAME));
  if (files.includes(INDEX_NAME)) return openSharded(join(folder, INDEX_NAME));
  const others = files.filter((name) => name.endsWith(".safetensors"));
  if (others.length > 0) {
    throw new UnfoldError(
      `${folder} is a directory with neither ${FILE_NAME} nor ${INDEX_NAME}. Give one of its files: ` +
        `${others.slice(0, 5).join(", ")}${others.length > 5 ? ", ..." : ""}.`,
    );
  }
  const pickle = files.find((name) => /\.(pt|pth|bin)$/.test(name));
  if (pickle !== undefined) {
    throw new UnfoldError(
      `${folder} is a directory without safetensors; ${pickle} ${pickled(pickle, "a pickle")}`,
    );
  }
  throw new UnfoldError(
    `${folder} is a directory with neither ${FILE_NAME} nor ${INDEX_NAME}. Check the path.`,
  );
}
