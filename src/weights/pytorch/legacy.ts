/**
 * A file that `torch.save` wrote before PyTorch 1.6, or writes with `_use_new_zipfile_serialization=False`:
 * pickles of a magic number, a protocol, the system's facts, the value and the storages' keys, one after the
 * other, and then each storage's count of elements and its bytes. Read as lazily, and as inert, as the zip
 * files that came after. Leaves out the tar archives of before 0.1.10. Layout: `_legacy_save` in PyTorch's
 * `torch/serialization.py`.
 */
import { UnfoldError } from "../../errors.ts";
import { quoted } from "../../text.ts";
import { AGAIN } from "./archive.ts";
import { type Checkpoint, originOf } from "../checkpoint.ts";
import { identityOf, openForReading, readAgain, readRange } from "../file.ts";
import { readPickleAt } from "./pickle.ts";
import { PickleList, type PickleValue } from "./pickle_values.ts";
import { PYTORCH_GLOBALS } from "./globals.ts";
import { pytorchCheckpoint } from "./tensors.ts";
import { storageOf, StorageRecord } from "./values.ts";
import type { StateOptions } from "./state_dict.ts";

/** 0x1950a86a20f9469cfc6c as protocol 1 has it, and as the opcode LONG1 behind PROTO and its argument. */
const MAGIC_TEXT = new TextEncoder().encode("L119547037146038801333356L\n");
const MAGIC = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL = 1001;
/** Of all pickles together, as of the one in a zip file. */
const MAX_PICKLE_BYTES = 2 ** 26;
const COUNT_BYTES = 8;

/** Whether a file begins as one of before 1.6. */
export function isLegacy(head: Uint8Array): boolean {
  return MAGIC_TEXT.every((byte, i) => head[i] === byte) ||
    (head[0] === 0x80 && MAGIC.every((byte, i) => head[2 + i] === byte));
}

/**
 * Opens the file `path`, which begins so.
 *
 * @throws UnfoldError if it is damaged, cut short, of another machine's byte order, or holds no state dict.
 */
export function openLegacy(path: string, options: StateOptions): Checkpoint {
  using file = openForReading(path);
  const info = file.statSync();
  const identity = identityOf(info);
  const { top, keys, sizes, end } = readPickles(file, { path, byteLength: info.size });
  const begins = placesOf(file, { path, byteLength: info.size, keys, sizes, begin: end });
  return pytorchCheckpoint(top, {
    ...options,
    path,
    check: ({ storage }, name) => {
      if (begins.has(storage.key)) return;
      throw new UnfoldError(`${originOf(path, name)}: its storage is not in the file. ${AGAIN}`);
    },
    read: ({ key }, { origin, begin, byteLength }) =>
      readAgain(
        path,
        { identity, origin },
        (file) => readRange(file, { origin, begin: begins.get(key)! + begin, byteLength }),
      ),
  });
}

interface Pickles {
  readonly top: PickleValue;
  /** Of the storages, in the order in which they follow. */
  readonly keys: readonly string[];
  /** Of each storage that the value refers to: the bytes of an element, and of all. */
  readonly sizes: ReadonlyMap<string, StorageRecord>;
  /** Where the last pickle ends. */
  readonly end: number;
}

function readPickles(
  file: Deno.FsFile,
  { path, byteLength }: { readonly path: string; readonly byteLength: number },
): Pickles {
  const bytes = readRange(file, {
    origin: path,
    begin: 0,
    byteLength: Math.min(byteLength, MAX_PICKLE_BYTES),
  });
  const fail = (at: number, problem: string): never => {
    throw new UnfoldError(`${path}: at byte ${at}, its pickle ${problem}. ${AGAIN}`);
  };
  const sizes = new Map<string, StorageRecord>();
  let end = 0;
  const next = (): PickleValue => {
    const pickle = readPickleAt(bytes, {
      begin: end,
      globals: PYTORCH_GLOBALS,
      fail,
      persistent: (id, failHere) => {
        const value = storageOf(id, failHere);
        if (!(value instanceof StorageRecord)) return value;
        const known = sizes.get(value.key);
        if (known !== undefined && known.byteLength !== value.byteLength) {
          return failHere(
            `gives storage ${
              value.key.slice(0, 80)
            } two sizes, ${known.byteLength} and ${value.byteLength} bytes`,
          );
        }
        if (known === undefined) sizes.set(value.key, value);
        return value;
      },
    });
    end = pickle.end;
    return pickle.value;
  };
  next(); // the magic number, by which the file was told
  const protocol = next();
  if (protocol !== PROTOCOL) fail(0, `is of the protocol ${String(protocol)}; PyTorch wrote ${PROTOCOL}`);
  const system = next();
  if (system instanceof Map && system.get("little_endian") === false) {
    throw new UnfoldError(
      `${path} was written on a big-endian machine; UNfold reads little-endian files. Load and save it on one that is.`,
    );
  }
  const top = next();
  const at = end;
  const keys = next();
  if (!(keys instanceof PickleList)) return fail(at, "of the storages' keys holds no list");
  return { top, keys: keys.items.map((key) => String(key)), sizes, end };
}

/** Where each storage's bytes begin. */
function placesOf(
  file: Deno.FsFile,
  { path, byteLength, keys, sizes, begin }: Pick<Pickles, "keys" | "sizes"> & {
    readonly path: string;
    readonly byteLength: number;
    readonly begin: number;
  },
): ReadonlyMap<string, number> {
  const begins = new Map<string, number>();
  let at = begin;
  for (const key of keys) {
    const storage = sizes.get(key);
    // No tensor of the file is in it; its element's size, and so where the next begins, is nowhere.
    if (storage === undefined) {
      throw new UnfoldError(
        `${path} lists the storage ${quoted(key)}, which no tensor is in. ${AGAIN}`,
      );
    }
    const end = at + COUNT_BYTES + storage.byteLength;
    if (end > byteLength) {
      throw new UnfoldError(
        `${path}: its storages end at byte ${end} or later, but the file has ${byteLength} bytes. ${AGAIN}`,
      );
    }
    const head = readRange(file, { origin: path, begin: at, byteLength: COUNT_BYTES });
    const count = Number(new DataView(head.buffer).getBigInt64(0, true));
    const itemBytes = storage.type?.itemBytes ?? 1;
    if (count * itemBytes !== storage.byteLength) {
      throw new UnfoldError(
        `${path}: at byte ${at}, a storage has ${count} elements, but ${
          storage.byteLength / itemBytes
        } by the pickle. ${AGAIN}`,
      );
    }
    begins.set(key, at + COUNT_BYTES);
    at = end;
  }
  return begins;
}
