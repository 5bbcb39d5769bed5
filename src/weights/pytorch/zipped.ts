/**
 * A file that `torch.save` wrote since PyTorch 1.6 (.pt, .pth, .bin): a zip archive of one pickle, which
 * describes the tensors, and one stored member for each storage, which holds their bytes. Read lazily, as
 * safetensors is: opening reads the zip directory and the pickle, and a tensor's bytes are read, just their
 * range, each time they are asked for. No code is run: the pickle becomes inert data. Leaves out TorchScript;
 * `legacy.ts` has what was written before.
 */
import { UnfoldError } from "../../errors.ts";
import { quoted } from "../../text.ts";
import { AGAIN, type Archive, readArchive, readPart, storedEntry } from "./archive.ts";
import { type Checkpoint, originOf } from "../checkpoint.ts";
import { identityOf, openForReading, readAgain } from "../file.ts";
import { describeArchive } from "../foreign.ts";
import { readPickle } from "./pickle.ts";
import type { PickleValue } from "./pickle_values.ts";
import { PYTORCH_GLOBALS } from "./globals.ts";
import { pytorchCheckpoint } from "./tensors.ts";
import { storageOf, type StorageRecord, type TensorRecord } from "./values.ts";
import type { StateOptions } from "./state_dict.ts";

/** Some hundred thousand tensors. */
const MAX_PICKLE_BYTES = 2 ** 26;
const MAX_WORD_BYTES = 64;

/** The pickle, in whatever folder. */
const PICKLE = /^[^/]+\/data\.pkl$/;

/** Versions of the archive's layout (`version`): PyTorch writes 2 and 3 since 1.6, TorchScript more. */
const MAX_VERSION = 10;

/**
 * Opens the zip file `path`.
 *
 * @throws UnfoldError if it is not PyTorch's, is damaged, or holds no state dict.
 */
export function openPytorch(path: string, options: StateOptions): Checkpoint {
  using file = openForReading(path);
  const info = file.statSync();
  const identity = identityOf(info);
  const archive = readArchive(file, { path, byteLength: info.size });
  const { top, prefix } = readContents(file, archive);
  return pytorchCheckpoint(top, {
    ...options,
    path,
    check: (tensor, name) => checkStorage(tensor, { archive, prefix, name }),
    read: (storage, { origin, begin, byteLength }) => {
      const entry = storedEntry(archive, storageName(prefix, storage));
      return readAgain(
        path,
        { identity, origin },
        (file) => readPart(file, entry, { archive, origin, begin, byteLength }),
      );
    },
  });
}

interface Contents {
  readonly top: PickleValue;
  /** The folder in the archive that holds all, with a "/": "archive/", or the file's former name. */
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
  });
  return { top, prefix };
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
      `${archive.path}: ${prefix}byteorder is ${quoted(order)}; UNfold reads little-endian files. ` +
        "Load and save it again on a machine that is.",
    );
  }
  const version = word("version") ?? "3";
  if (!/^[0-9]{1,2}$/.test(version) || Number(version) > MAX_VERSION) {
    throw new UnfoldError(
      `${archive.path}: ${prefix}version is ${quoted(version)}; UNfold reads those up to ${MAX_VERSION}. ` +
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
