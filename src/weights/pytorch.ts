/**
 * A file that `torch.save` wrote since PyTorch 1.6 (.pt, .pth, .bin): a zip archive of one pickle, which describes the
 * tensors, and one stored member for each storage, which holds their bytes. Read lazily, as safetensors is: opening
 * reads the zip directory and the pickle, and a tensor's bytes are read, just their range, each time they are asked for.
 * No code is run: the pickle becomes inert data, or is refused. Leaves out TorchScript and what PyTorch wrote before.
 */
import { UnfoldError } from "../errors.ts";
import type { StorageType } from "../ir/dtype.ts";
import { AGAIN, type Archive, readArchive, readPart, storedEntry } from "./archive.ts";
import { type Checkpoint, checkpointOf, originOf } from "./checkpoint.ts";
import { allocate, identityOf, openForReading, readAgain } from "./file.ts";
import { describeArchive, refusedGlobal } from "./foreign.ts";
import { readPickle } from "./pickle.ts";
import { PYTORCH_GLOBALS, storageOf, type StorageRecord, type TensorRecord } from "./pytorch_values.ts";
import { findStateDict, type StateDict } from "./state_dict.ts";
import { extentOf, gather, isContiguous } from "./strided.ts";

/** PyTorch's element types that UNfold reads, in its own words. */
const STORAGE_TYPES: ReadonlyMap<string, StorageType> = new Map([
  ["float64", "fp64"],
  ["float32", "fp32"],
  ["float16", "fp16"],
  ["bfloat16", "bf16"],
  ["int64", "int64"],
  ["int32", "int32"],
  ["bool", "bool"],
]);

/** Some hundred thousand tensors. */
const MAX_PICKLE_BYTES = 2 ** 26;
const MAX_WORD_BYTES = 64;

/** The pickle, in whatever folder. */
const PICKLE = /^[^/]+\/data\.pkl$/;

/** Versions of the archive's layout (`version`): PyTorch has written 2 and 3 since 1.6, and higher for TorchScript only. */
const MAX_VERSION = 10;

/**
 * Opens the zip file `path`.
 *
 * @throws UnfoldError if it is not PyTorch's, is damaged, or its pickle names a global that is not allowed.
 */
export function openPytorch(path: string): Checkpoint {
  using file = openForReading(path);
  const info = file.statSync();
  const identity = identityOf(info);
  const archive = readArchive(file, { path, byteLength: info.size });
  const { stateDict: { tensors, metadata }, prefix } = readContents(file, archive);
  return checkpointOf({
    path,
    metadata,
    tensors,
    types: STORAGE_TYPES,
    typeOf: ({ type }) => type.name,
    read: (record, origin) => readTensor(record, { archive, prefix, identity, origin }),
  });
}

function readTensor(
  { storage, type: { itemBytes }, offset, shape, strides }: TensorRecord,
  { archive, prefix, identity, origin }: {
    readonly archive: Archive;
    readonly prefix: string;
    readonly identity: string;
    readonly origin: string;
  },
): Uint8Array {
  const byteLength = shape.reduce((product, size) => product * size, itemBytes);
  if (byteLength === 0) return new Uint8Array(0);
  const contiguous = isContiguous(shape, strides);
  const entry = storedEntry(archive, storageName(prefix, storage));
  const part = {
    archive,
    origin,
    begin: offset * itemBytes,
    byteLength: contiguous ? byteLength : extentOf(shape, strides) * itemBytes,
  };
  const bytes = readAgain(archive.path, { identity, origin }, (file) => readPart(file, entry, part));
  if (contiguous) return bytes;
  const result = allocate(byteLength, origin);
  gather(bytes, { shape, strides, itemBytes, result });
  return result;
}

interface Contents {
  readonly stateDict: StateDict;
  /** The folder inside the archive that all is in, with a "/": "archive/", or the name that the file once had. */
  readonly prefix: string;
}

function readContents(file: Deno.FsFile, archive: Archive): Contents {
  const { path, entries } = archive;
  const names = [...entries.keys()];
  const foreign = describeArchive(names, path);
  if (foreign !== null) throw new UnfoldError(`${path} ${foreign}`);
  const [pickle, ...others] = names.filter((name) => PICKLE.test(name));
  if (pickle === undefined || others.length > 0) {
    throw new UnfoldError(
      `${path} is a zip archive with ${names.length} members and more than one data.pkl.`,
    );
  }
  const prefix = pickle.slice(0, -"data.pkl".length);
  checkWords(file, { archive, prefix });
  const top = readPickle(member(file, { archive, name: pickle, limit: MAX_PICKLE_BYTES }), {
    globals: PYTORCH_GLOBALS,
    persistent: storageOf,
    fail: (at, problem) => {
      throw new UnfoldError(`${path}: at byte ${at}, ${pickle} ${problem}. ${AGAIN}`);
    },
    refuse: (at, global) => {
      throw new UnfoldError(`${path}: at byte ${at}, ${pickle} ${refusedGlobal(global, path)}`);
    },
  });
  const stateDict = findStateDict(top, (problem) => {
    throw new UnfoldError(`${path} ${problem}`);
  });
  for (const [name, tensor] of stateDict.tensors) checkStorage(tensor, { archive, prefix, name });
  return { stateDict, prefix };
}

/** The two short texts beside the pickle: how numbers are written, and how the archive is laid out. */
function checkWords(
  file: Deno.FsFile,
  { archive, prefix }: { readonly archive: Archive; readonly prefix: string },
): void {
  const word = (name: string): string | null =>
    archive.entries.has(prefix + name)
      ? new TextDecoder().decode(member(file, { archive, name: prefix + name, limit: MAX_WORD_BYTES })).trim()
      : null;
  // Files of before PyTorch 2.1 do not say, and are little-endian but for those of rare machines.
  const order = word("byteorder") ?? "little";
  if (order !== "little") {
    throw new UnfoldError(
      `${archive.path}: ${prefix}byteorder is ${JSON.stringify(order)}; UNfold reads little-endian files. ` +
        "Load and save it again on a machine that is.",
    );
  }
  const version = word("version") ?? "3";
  if (!/^[0-9]{1,2}$/.test(version) || Number(version) > MAX_VERSION) {
    throw new UnfoldError(
      `${archive.path}: ${prefix}version is ${
        JSON.stringify(version)
      }; UNfold reads those up to ${MAX_VERSION}. ` +
        AGAIN,
    );
  }
}

function member(
  file: Deno.FsFile,
  { archive, name, limit }: { readonly archive: Archive; readonly name: string; readonly limit: number },
): Uint8Array {
  const entry = storedEntry(archive, name);
  const { byteLength } = entry;
  if (byteLength > limit) {
    throw new UnfoldError(`${archive.path}: ${name} has ${byteLength} bytes; UNfold reads at most ${limit}.`);
  }
  return readPart(file, entry, { archive, origin: archive.path, begin: 0, byteLength });
}

function checkStorage(
  { storage }: TensorRecord,
  { archive, prefix, name }: { readonly archive: Archive; readonly prefix: string; readonly name: string },
): void {
  const entry = storedEntry(archive, storageName(prefix, storage));
  if (entry.byteLength !== storage.byteLength) {
    throw new UnfoldError(
      `${originOf(archive.path, name)}: its storage has ${storage.byteLength} bytes by the pickle, ` +
        `but ${entry.path} has ${entry.byteLength}. ${AGAIN}`,
    );
  }
}

function storageName(prefix: string, { key }: StorageRecord): string {
  return `${prefix}data/${key}`;
}
