/**
 * The way into a checkpoint on disk: one file (safetensors, or what `torch.save` writes), the index of a
 * sharded one, or the folder that holds either. What is opened is checked whole (names, types, ranges) and
 * read not at all until a tensor's bytes are asked for. Nothing of a checkpoint is executed. Leaves out
 * everything about downloads.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UnfoldError } from "../errors.ts";
import { listed } from "../text.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { openForReading, readRange, unreadable } from "./file.ts";
import { isZip } from "./foreign.ts";
import { type Naming, underNames, withoutWrappers } from "./naming.ts";
import { openPytorch } from "./pytorch/zipped.ts";
import { isLegacy, openLegacy } from "./pytorch/legacy.ts";
import { openSafetensors } from "./safetensors.ts";
import { withoutScales } from "./scaled.ts";
import { openSharded } from "./sharded.ts";
import type { StateOptions } from "./pytorch/state_dict.ts";

/** What a folder is searched for, in this order: the names that Hugging Face's libraries give. */
const FOLDER_NAMES = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
] as const;

/** Which state dict of a file is read, and under which names. */
export interface OpenOptions extends StateOptions, Naming {}

/**
 * Opens a checkpoint: a safetensors file or a file of PyTorch's, told by their content; an index that ends in
 * `.json`; or a folder with `model.safetensors`, `pytorch_model.bin` or the index of either (the first that
 * is there, and safetensors first), with one file of weights alone, or a cache of the Hugging Face hub's with
 * such a folder. What `torch.compile`, FSDP and the like put into names is left out of them; a weight in
 * eight bits with a `weight_scale` or `scale_weight` beside it, of the tensor or of each row, is their
 * product in fp32. Needs `--allow-read`.
 *
 * ```ts ignore
 * const checkpoint = openCheckpoint("vit/model.safetensors");
 * const weight = checkpoint.tensor("head.weight"); // nothing is read yet
 * const bytes = weight.bytes(); // its range of the file, and no more
 * const teacher = openCheckpoint("dino.pth", { state: "teacher", prefix: "backbone." });
 * ```
 *
 * @throws UnfoldError if there is no such checkpoint, it is malformed, or it holds several state dicts and
 * none is meant: the file, the tensor, the byte.
 */
export function openCheckpoint(path: string | URL, options: OpenOptions = {}): Checkpoint {
  const file = pathOf(path);
  const checkpoint = isDirectory(file) ? openFolder(file, options) : openPath(file, options);
  return underNames(withoutWrappers(withoutScales(checkpoint)), options);
}

/** A path as given, or that of a `file:` URL. */
export function pathOf(path: string | URL): string {
  if (typeof path === "string") return path;
  if (path.protocol === "file:") return fileURLToPath(path);
  throw new UnfoldError(
    `${path.href}: UNfold reads checkpoints from disk only. Download it and give its path.`,
  );
}

function openPath(path: string, options: StateOptions): Checkpoint {
  return path.endsWith(".json")
    ? openSharded(path, (shard) => openFile(shard, options))
    : openFile(path, options);
}

function openFile(path: string, options: StateOptions): Checkpoint {
  const head = beginning(path);
  if (isZip(head)) return openPytorch(path, options);
  if (isLegacy(head)) return openLegacy(path, options);
  if (options.state === undefined) return openSafetensors(path);
  throw new UnfoldError(`${path} has but one state dict, as safetensors files do: leave out --state`);
}

function beginning(path: string): Uint8Array {
  using file = openForReading(path);
  const byteLength = Math.min(32, file.statSync().size);
  return readRange(file, { origin: path, begin: 0, byteLength });
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    throw unreadable(error, path);
  }
}

function openFolder(folder: string, options: StateOptions): Checkpoint {
  const files = filesIn(folder);
  const found = FOLDER_NAMES.find((name) => files.includes(name));
  if (found !== undefined) return openPath(join(folder, found), options);
  const snapshot = files.length === 0 ? snapshotIn(folder) : null;
  if (snapshot !== null) return openFolder(snapshot, options);
  const others = files.filter((name) => /\.(safetensors|pt|pth|bin|ckpt)$/.test(name));
  if (others.length === 1) return openPath(join(folder, others[0]!), options);
  if (files.some((name) => name.endsWith(".distcp"))) {
    throw new UnfoldError(
      `${folder} is a distributed checkpoint of PyTorch's. Make one file of it: ` +
        "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE.pt",
    );
  }
  const advice = others.length === 0 ? "Check the path." : `Give one of its files: ${listed(others)}.`;
  throw new UnfoldError(`${folder} is a directory with none of ${FOLDER_NAMES.join(", ")}. ${advice}`);
}

/** Names of what is in the folder but folders, links to files included. */
function filesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].filter((entry) => !entry.isDirectory).map(({ name }) => name).sort();
  } catch (error) {
    throw unreadable(error, folder);
  }
}

/** The revision in the hub cache (`models--owner--name`) of `refs/main`, or the only one; else null. */
function snapshotIn(folder: string): string | null {
  const snapshots = join(folder, "snapshots");
  let revisions: string[];
  try {
    revisions = [...Deno.readDirSync(snapshots)].map(({ name }) => name).sort();
  } catch {
    return null;
  }
  let main: string | undefined;
  try {
    main = Deno.readTextFileSync(join(folder, "refs", "main")).trim();
  } catch {
    // Downloaded by a revision alone.
  }
  const revision = revisions.find((name) => name === main) ??
    (revisions.length === 1 ? revisions[0] : undefined);
  if (revision !== undefined) return join(snapshots, revision);
  if (revisions.length === 0) return null;
  throw new UnfoldError(`${folder} has several revisions: give one of ${snapshots}, ${listed(revisions)}.`);
}
